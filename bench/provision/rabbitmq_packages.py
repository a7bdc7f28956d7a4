"""Unpacks a current RabbitMQ and its Erlang from Debian packages into a folder, as any user.

The mirror is that of the machine's own apt sources, with a newer suite; apt checks the signatures by the machine's own
keyring. The packages bring their own C library, so each program is told by patchelf where its libraries lie. Nothing
outside the folder changes, and nothing runs as root.
"""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import OperationFailed
from bench.provision.base import Say
from bench.provision.cleanup import hold_lock

SUITES = ("forky", "trixie")
"""of Debian, the newest first"""
OLDEST_MAJOR = 4
PACKAGE = "rabbitmq-server"
NEEDED = re.compile(
    r"(erlang-.*|rabbitmq-server|libc6|libssl3.*|libstdc\+\+6|libgcc-s1|libtinfo6|libncursesw?6|libsystemd0|libcap2"
    r"|liblz4-1|liblzma5|libgcrypt20|zlib1g|libzstd1|libsctp1|libmimalloc\d.*)"
)
"""Of what the package depends on, what a server that this module starts uses: Erlang, and the libraries of both."""
SPACE_MIB = 500
"""for lists (60), packages (60) and what is unpacked (120), and something left to run with"""
APT_TIMEOUT_S = 600
STAMP = "unpacked.json"

APT_CONFIG = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A RabbitMQ that was unpacked into a folder: what it is, and where its programs lie."""

    root: str
    suite: str
    version: str
    erlang: str

    @property
    def server(self) -> Path:
        return Path(self.root, "usr/lib/rabbitmq/lib", f"rabbitmq_server-{self.version}", "sbin/rabbitmq-server")

    @property
    def programs(self) -> Path:
        """The folder of Erlang's programs, epmd among them."""
        return Path(self.root, "usr/lib/erlang/bin")


def find_unpacked(home: Path) -> Unpacked | None:
    """Return the RabbitMQ that was unpacked below ``home``; None when there is none, or when it has been moved."""
    root = (home / "rabbitmq").resolve()
    try:
        found = Unpacked(**json.loads((root / STAMP).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.root == str(root) and found.server.exists() else None


def unpack_rabbitmq(home: Path, say: Say) -> Unpacked:
    """Download and unpack RabbitMQ below ``home`` unless it is there, and return it.

    What an interrupted call left is removed first. Raises OperationFailed, with nothing left behind.
    """
    root = (home / "rabbitmq").resolve()  # which may be a link to that of another state
    with hold_lock(root.with_name("rabbitmq.lock")):
        if (found := find_unpacked(home)) is not None:
            return found
        _check_tools(home)
        fresh = root.with_name("rabbitmq.new")
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)
        say("a current RabbitMQ and Erlang, unpacked without root (60 MB, under a minute)")
        try:
            return _unpack(fresh, root)
        except OSError as error:
            shutil.rmtree(root, ignore_errors=True)
            if error.errno == errno.ENOSPC:
                raise _no_space(home) from error
            raise OperationFailed(f"RabbitMQ could not be unpacked: {error}", code="rabbitmq-not-unpacked") from error
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _check_tools(home: Path) -> None:
    """Raises OperationFailed when packages could not be fetched or unpacked here."""
    if missing := [program for program in ("apt-get", "dpkg") if not shutil.which(program)]:
        raise OperationFailed(
            f"this system has no {missing[0]}, from which a current RabbitMQ would come: give one with RABBITMQ_URL=",
            code="no-apt-get",
        )
    if not Path(_find_patchelf()).exists():
        raise OperationFailed("patchelf is not installed: type `make setup`", code="no-patchelf")
    if shutil.disk_usage(home).free < SPACE_MIB << 20:
        raise _no_space(home)


def _no_space(home: Path) -> OperationFailed:
    return OperationFailed(f"RabbitMQ needs {SPACE_MIB} MiB of free space in {home}", code="no-space")


def _unpack(fresh: Path, root: Path) -> Unpacked:
    """Unpack into ``fresh``, made for ``root``, whose name it gets when it is whole."""
    work, tree = fresh / "apt", fresh / "tree"
    for folder in (work / "state/lists/partial", work / "cache/archives/partial", work / "packages", tree):
        folder.mkdir(parents=True)
    (work / "apt.conf").write_text(APT_CONFIG.format(folder=work), "utf-8")
    suite = _find_suite(work)
    wanted = [name for name in _list_dependencies(work) if NEEDED.fullmatch(name)]
    _run_apt(work, "download", *wanted)
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(tree)], code="rabbitmq-not-unpacked")
    _bind_libraries(tree, root)
    made = Unpacked(str(root), suite, _read_version(tree), _read_erlang_version(tree))
    tree.rename(root)
    _check_runs(made)
    (root / STAMP).write_text(json.dumps(asdict(made)), "utf-8")
    return made


def _find_suite(work: Path) -> str:
    """Return the newest suite that has a current RabbitMQ, with apt's lists of it read. Raises OperationFailed."""
    mirror = _read_mirror()
    unreachable: OperationFailed | None = None
    reached = False
    for suite in SUITES:
        (work / "sources.list").write_text(f"deb {mirror} {suite} main\n", "utf-8")
        try:
            _run_apt(work, "update")
        except OperationFailed as error:
            unreachable = unreachable or error
            continue
        reached = True
        said = _run(
            ["apt-cache", "-c", str(work / "apt.conf"), "show", "--no-all-versions", PACKAGE], code="", check=False
        )
        found = re.search(r"^Version: (?:\d+:)?(\d+)\.", said, re.MULTILINE)
        if found and int(found[1]) >= OLDEST_MAJOR:
            return suite
    if unreachable is not None and not reached:
        raise unreachable
    raise OperationFailed(
        f"none of the suites {', '.join(SUITES)} of this machine's mirror has RabbitMQ {OLDEST_MAJOR} or newer",
        code="no-newer-rabbitmq",
    )


def _read_mirror() -> str:
    """Return the machine's own mirror, with its keyring, as apt's sources name them. Raises OperationFailed."""
    own = _read_codename()
    listed = _run(
        ["apt-get", "indextargets", "--format", "$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)|$(REPO_URI)"], code="no-mirror"
    )
    for line in listed.splitlines():
        release, component, keyring, address = line.split("|", 3)
        if (release, component) == (own, "main"):
            return f"[signed-by={keyring}] {address}" if keyring.startswith("/") else address
    raise OperationFailed(f"apt's sources on this machine name no mirror of {own or 'Debian'}", code="no-mirror")


def _read_codename() -> str:
    with suppress(OSError):
        if found := re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text("utf-8"), re.MULTILINE):
            return found[1]
    return ""


def _list_dependencies(work: Path) -> list[str]:
    """Return the names of all packages that RabbitMQ depends on, and its own."""
    said = _run_apt(work, "install", "--no-install-recommends", "--print-uris", PACKAGE)
    return [found[1] for found in re.finditer(r"^'\S+' ([^_ ]+)_", said, re.MULTILINE)]


def _bind_libraries(tree: Path, root: Path) -> None:
    """Make Erlang's programs and libraries use the C library beside them, at the place where they will lie."""
    loader = next(iter(sorted(tree.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"))), None)
    if loader is None:
        raise OperationFailed("the packages hold no C library", code="rabbitmq-not-unpacked")
    libraries = root / loader.parent.relative_to(tree)
    rpath = ["--force-rpath", "--set-rpath", str(libraries)]
    erlang = tree / "usr/lib/erlang"
    for path in sorted(erlang.rglob("*")):
        if path.is_symlink() or not path.is_file() or not _is_elf(path):
            continue
        if path.suffix == ".so":
            _run([_find_patchelf(), *rpath, str(path)], code="rabbitmq-not-unpacked")
        elif os.access(path, os.X_OK):
            interpreter = ["--set-interpreter", str(libraries / loader.name)]
            _run([_find_patchelf(), *interpreter, *rpath, str(path)], code="rabbitmq-not-unpacked")
    start = erlang / "bin/erl"
    place = shlex.quote(f"{root}/usr/lib/erlang")
    start.write_text(
        re.sub(r"(?m)^(\s*ROOTDIR=)/\S*$", lambda found: found[1] + place, start.read_text("utf-8")), "utf-8"
    )


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _find_patchelf() -> str:
    return str(Path(sysconfig.get_path("scripts"), "patchelf"))


def _read_version(tree: Path) -> str:
    (found,) = tree.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
    return found.name.removeprefix("rabbitmq_server-")


def _read_erlang_version(tree: Path) -> str:
    (found,) = tree.glob("usr/lib/erlang/releases/*/OTP_VERSION")
    return found.read_text("utf-8").strip()


def _check_runs(made: Unpacked) -> None:
    """Raises OperationFailed when Erlang does not start, or cannot encrypt."""
    said = _run(
        [str(made.programs / "erl"), "-noshell", "-eval", "io:write(crypto:start()), halt()."], code="", check=False
    )
    if said.strip() != "ok":
        last = (said.strip().splitlines() or ["it said nothing"])[0]
        raise OperationFailed(f"the unpacked Erlang does not run here: {last[:200]}", code="erlang-does-not-run")


def _run_apt(work: Path, verb: str, *words: str) -> str:
    command = ["apt-get", "-c", str(work / "apt.conf"), "-qq", verb, *words]
    return _run(command, code="packages-unreachable", folder=work / "packages")


def _run(command: Sequence[str], *, code: str, folder: Path | None = None, check: bool = True) -> str:
    """Return what a command says. Raises OperationFailed with this code and the first line of its error."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8", "ERL_CRASH_DUMP": os.devnull},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if check else subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=APT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OperationFailed(f"{command[0]} took more than {APT_TIMEOUT_S} s", code=code) from error
    if check and done.returncode != 0:
        if "No space left" in done.stderr or "enough free space" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        first = lines[0].removeprefix("E:").strip() if lines else f"exit code {done.returncode}"
        raise OperationFailed(f"{Path(command[0]).name} failed: {first[:300]}", code=code)
    return done.stdout
