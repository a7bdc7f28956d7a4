"""Finds the Pythons of this machine, and ranks them for the .venv of Fourways.

    python3 -I bench/provision/pythons.py           prints the path of the best one; why goes to standard error
    python3 -I bench/provision/pythons.py --self    prints what this interpreter is, as JSON
    python3 -I bench/provision/pythons.py --facts   prints what a manifest says of it, as JSON

Any Python 3.6 or newer can run this file, so it uses the standard library and old syntax alone.
"""

import gc
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, NamedTuple

OLDEST = (3, 11)
"""What pyproject.toml requires."""
PROBE_TIMEOUT_S = 20
_NAME = re.compile(r"python3(\.\d+)?$")
_PACKAGED_MACHINES = ("x86_64", "aarch64", "ppc64le", "s390x")
_REPEATS, _PIECES = 5, 1000


class Python(NamedTuple):
    """An interpreter of this machine."""

    path: str
    version: "tuple[int, ...]"
    pgo: bool
    lto: bool
    supported: bool
    """Whether the packages of the lock have wheels for its minor version."""
    unusable: str
    """Why no .venv can be made with it, and what to type; empty where one can."""

    @property
    def text(self) -> str:
        """Version and build in words."""
        return f"Python {'.'.join(map(str, self.version))}, {describe_build(self.pgo, self.lto)}"


def describe_build(pgo: bool, lto: bool) -> str:
    """Returns the optimisation of a build in words."""
    return f"built {'with' if pgo else 'without'} PGO and {'with' if lto else 'without'} LTO"


def read_interpreter() -> "dict[str, Any]":
    """Returns version, compiler and build of the interpreter that runs this, as the manifest keeps them.

    ``pgo`` and ``lto`` are whether it was optimised by profile and at link time. Debian and Ubuntu build with both and
    leave that out of sysconfig, so of their packages it is known from the package; ``known_from`` says which.
    """
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = " ".join(str(sysconfig.get_config_var(name) or "") for name in ("PY_CFLAGS", "PY_CFLAGS_NODIST"))
    packaged = _is_debian_package(find_base_executable())
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "pgo": packaged or is_profiled(arguments, flags),
        "lto": packaged or is_link_optimised(arguments, flags),
        "shared_libpython": _has_shared_libpython(),
        "known_from": "distribution" if packaged else "build flags",
    }


def is_profiled(arguments: str, flags: str) -> bool:
    """Returns whether configure's arguments or the compiler's flags ask for profile-guided optimisation."""
    return "--enable-optimizations" in arguments or "-fprofile-use" in flags or "-fprofile-instr-use" in flags


def is_link_optimised(arguments: str, flags: str) -> bool:
    """Returns whether configure's arguments or the compiler's flags ask for optimisation at link time."""
    return ("--with-lto" in arguments and "--with-lto=no" not in arguments) or "-flto" in flags


def find_base_executable() -> Path:
    """Returns the file of this interpreter; in a .venv that of the Python that made it."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def _is_debian_package(executable: Path) -> bool:
    return (
        str(executable.parent) == "/usr/bin"
        and platform.machine() in _PACKAGED_MACHINES
        and Path(f"/var/lib/dpkg/info/{executable.name}-minimal.list").exists()
    )


def _has_shared_libpython() -> bool:
    """Returns whether the interpreter is in a shared library, which makes its own calls dearer."""
    try:
        return "/libpython" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))


def read_facts() -> "dict[str, Any]":
    """Returns what a manifest says of this interpreter: its build, and how fast its object code is."""
    return dict(read_interpreter(), object_code_ns=measure_object_code_ns())


def measure_object_code_ns() -> int:
    """Returns what a fixed piece of work took at its best, in nanoseconds: objects, method calls, dicts.

    It takes some 50 ms. It tells one build of Python from another on one machine.
    """
    collecting, best_ns = gc.isenabled(), 0
    gc.disable()
    try:
        for _ in range(_REPEATS):
            begin_ns = time.perf_counter_ns()
            _work(_PIECES)
            took_ns = time.perf_counter_ns() - begin_ns
            best_ns = min(best_ns or took_ns, took_ns)
    finally:
        if collecting:
            gc.enable()
    return round(best_ns / _PIECES)


class _Line:
    __slots__ = ("cents", "quantity")

    def __init__(self, cents: int, quantity: int) -> None:
        self.cents = cents
        self.quantity = quantity

    def total(self) -> int:
        return self.cents * self.quantity


def _work(pieces: int) -> int:
    total = 0
    for number in range(pieces):
        lines = [_Line(100 + number, quantity) for quantity in (1, 2, 3)]
        by_name = {f"sku-{place}": line for place, line in enumerate(lines)}
        total += sum(line.total() for line in by_name.values()) + by_name["sku-1"].quantity
    return total


def _describe_self() -> "dict[str, Any]":
    """Returns what ``probe`` asks an interpreter for."""
    why, version = "", sys.version_info[:3]
    executable = find_base_executable()
    if platform.python_implementation() != "CPython":
        why = f"it is {platform.python_implementation()}, and CPython is needed"
    elif version < OLDEST:
        why = "3.11 or newer is needed"
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        why = "it is a free-threaded build, for which packages are missing"
    else:
        try:
            import ensurepip  # noqa: F401, PLC0415
            import venv  # noqa: F401, PLC0415
        except ImportError as error:
            package = f"python{version[0]}.{version[1]}-venv"
            how = f": type `sudo apt-get install {package}`" if _is_debian_package(executable) else ""
            why = f"it has no {error.name}{how}"
    return {"path": str(executable), "version": version, "unusable": why, "build": read_interpreter()}


def find_candidates(path: str, home: Path) -> "list[Path]":
    """Returns files that may be a Python 3, each once: this one, those of PATH, pyenv's and uv's.

    Shims, which are scripts, are left out: what they stand for is found by itself.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    folders = [
        *map(Path, filter(None, path.split(os.pathsep))),
        Path("/usr/local/bin"),
        Path("/usr/bin"),
        *sorted(pyenv.glob("versions/*/bin")),
        *sorted(home.glob(".local/share/uv/python/*/bin")),
    ]
    found = [find_base_executable()]
    for folder in folders:
        for file in sorted(folder.glob("python3*")):
            real = file.resolve()
            if _NAME.match(file.name) and real not in found and os.access(real, os.X_OK) and not _is_script(real):
                found.append(real)
    return found


def _is_script(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(2) == b"#!"
    except OSError:
        return True


def probe(files: "list[Path]", supported: "list[tuple[int, ...]]") -> "list[Python]":
    """Asks each file what it is, all at once; returns those that answer, each once."""
    asked = [
        subprocess.Popen(
            [str(file), "-I", str(Path(__file__).resolve()), "--self"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for file in files
    ]
    found = {}
    for process in asked:
        try:
            said = json.loads(process.communicate(timeout=PROBE_TIMEOUT_S)[0].decode())
        except (subprocess.TimeoutExpired, ValueError):
            process.kill()
            process.communicate()
            continue
        version, build = tuple(said["version"]), said["build"]
        found[said["path"]] = Python(
            said["path"], version, build["pgo"], build["lto"], version[:2] in supported, said["unusable"]
        )
    return list(found.values())


def rank(pythons: "list[Python]") -> "list[Python]":
    """Returns them with the best first: usable, supported by the lock, with PGO, the newest, with LTO."""
    return sorted(
        pythons, key=lambda one: (not one.unusable, one.supported, one.pgo, one.version, one.lto), reverse=True
    )


def read_supported(project: Path) -> "list[tuple[int, ...]]":
    """Returns the minor versions that this pyproject.toml names in its classifiers."""
    lines = project.read_text(encoding="utf-8")
    return [tuple(map(int, one)) for one in re.findall(r'"Programming Language :: Python :: (\d+)\.(\d+)"', lines)]


def find_pythons() -> "list[Python]":
    """Returns the Pythons of this machine, the best first."""
    checkout = Path(__file__).resolve().parents[2]  # bench.paths is not there when this runs as a file
    files = find_candidates(os.environ.get("PATH", ""), Path.home())
    return rank(probe(files, read_supported(checkout / "pyproject.toml")))


def describe_choice(ranked: "list[Python]") -> "list[str]":
    """Returns why the first is taken, and what is to be said of the others, a line each."""
    best, others = ranked[0], [one for one in ranked[1:] if one.version >= OLDEST]
    if best.unusable:
        return [
            "no Python here can be used: install Python 3.11 or newer, or name one with PYTHON= [no-python]",
            *(f"  {one.path}: {one.unusable}" for one in ranked if one.version >= OLDEST),
        ]
    lines = [f"setup: {best.text}: {best.path}"]
    for one in others:
        reason = one.unusable or ("" if one.supported else "the lock has no packages for it")
        lines.append(f"  not taken: {one.text}: {one.path}{f' ({reason})' if reason else ''}")
    if not best.pgo:
        lines.append("  None here is known to be built with PGO. PYTHON= names another one.")
    return lines


def main() -> int:
    """Runs the command; returns the exit code, 3 when no Python can be used."""
    if sys.argv[1:] == ["--self"]:
        print(json.dumps(_describe_self()))
        return 0
    if sys.argv[1:] == ["--facts"]:
        print(json.dumps(read_facts()))
        return 0
    ranked = find_pythons()
    print("\n".join(describe_choice(ranked)), file=sys.stderr)
    if ranked[0].unusable:
        return 3
    print(ranked[0].path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
