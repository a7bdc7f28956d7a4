"""Names the Pythons of this machine that can run services, and makes an environment for each.

An environment is made as `./fourways` makes .venv: from requirements.lock, with its hashes, and with the checkout
installed into it, since methods are found by entry points.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import OperationFailed
from bench.provision import pythons
from bench.provision.base import Say, Unavailable
from bench.provision.process import finish_despite_cancellation
from bench.provision.pythons import Python

CODE_FOLDERS = ("bench", "scenarios", "shop", "stores", "transports")
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that services can be started with."""

    name: str
    python: Path
    """The program in its environment."""
    facts: Mapping[str, Any]
    """What the manifest says of it: version, compiler, build, and what object code takes."""


def name_build(python: Python) -> str:
    """Returns the version, with ``+pgo`` for a build that was optimised by profile."""
    return ".".join(map(str, python.version)) + ("+pgo" if python.pgo else "")


def choose_interpreters(ranked: Sequence[Python], own: str) -> dict[str, Python]:
    """Returns the usable ones of ``find_pythons()`` by name, the oldest first: one for each minor version and build.

    The build is with PGO or without. Of several the one at the path ``own`` is taken, or else the best.
    """
    chosen: dict[tuple[tuple[int, ...], bool], Python] = {}
    for python in sorted(ranked, key=lambda one: one.path != own):
        if not python.unusable and python.supported:
            chosen.setdefault((python.version[:2], python.pgo), python)
    return {name_build(one): one for one in sorted(chosen.values(), key=lambda one: (one.version, one.pgo))}


@cache
def find_interpreters() -> Mapping[str, Python]:
    """Returns the usable interpreters of this machine by name, the oldest first. It asks each, once."""
    return choose_interpreters(pythons.find_pythons(), str(pythons.find_base_executable()))


def environment_folder(home: Path, checkout: Path, name: str, python: Python) -> Path:
    """Returns the place of an environment.

    Its name changes with all that it is made of: the lock, the entry points, the checkout and the interpreter.
    """
    made_of = hashlib.sha256()
    for part in (
        (checkout / "requirements.lock").read_bytes(),
        (checkout / "pyproject.toml").read_bytes(),
        os.fsencode(checkout.resolve()),
        os.fsencode(python.path),
    ):
        made_of.update(hashlib.sha256(part).digest())
    return home.resolve() / "python" / f"{name}-{made_of.hexdigest()[:12]}"


async def provide_interpreters(
    names: Collection[str], *, home: Path, checkout: Path, say: Say
) -> dict[str, Interpreter | Unavailable]:
    """Returns each interpreter with its environment, which is made if it is not there, or why it cannot be had."""
    found: dict[str, Interpreter | Unavailable] = {}
    here = await asyncio.to_thread(find_interpreters) if names else {}
    for name in names:
        if name not in here:
            found[name] = Unavailable(name, "it is not on this machine any more")
            continue
        try:
            program = await make_environment(name, here[name], home=home, checkout=checkout, say=say)
            await _compile(program, checkout)
            facts = msgspec.json.decode(await _run(program, "-I", pythons.__file__, "--facts"))
        except OperationFailed as error:
            found[name] = Unavailable(name, f"its packages cannot be installed: {error}")
        else:
            found[name] = Interpreter(name, program, facts)
    return found


async def make_environment(name: str, python: Python, *, home: Path, checkout: Path, say: Say) -> Path:
    """Makes the interpreter's environment unless it is there; returns the program in it. Raises OperationFailed."""
    place = environment_folder(home, checkout, name, python)
    return await fill_environment(
        place, Path(python.path), lock_file=checkout / "requirements.lock", checkout=checkout, name=name, say=say
    )


async def fill_environment(
    place: Path, python: Path, *, lock_file: Path, checkout: Path | None, name: str, say: Say
) -> Path:
    """Makes an environment at ``place`` unless it is there; returns the program in it. Raises OperationFailed.

    It has the packages of ``lock_file``, and ``checkout`` installed into it if one is given. It is made beside its
    place and then renamed, so that one at its place is whole.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    async with _alone(place.with_name(f"{place.name}.lock")) as lock:
        if not place.is_dir():
            say(f"Python packages for {name} (once, about a minute)")
            fresh = place.with_name(f"{place.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                await _fill(fresh, python, lock_file, checkout, lock)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            fresh.rename(place)
    return place / "bin" / "python"


async def _fill(fresh: Path, python: Path, lock_file: Path, checkout: Path | None, lock: int) -> None:
    await _run(python, "-I", "-m", "venv", str(fresh), lock=lock)
    program = fresh / "bin" / "python"
    install = ("-I", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    await _run(program, *install, "--require-hashes", "-r", str(lock_file), lock=lock)
    if checkout is not None:
        await _run(program, *install, "--no-deps", "--no-build-isolation", "-e", str(checkout), lock=lock)


async def _compile(program: Path, checkout: Path) -> None:
    """Compile what has changed since, or an interpreter's first trial would; a checkout that cannot be written may."""
    with suppress(OperationFailed):
        await _run(program, "-I", "-m", "compileall", "-q", *(str(checkout / folder) for folder in CODE_FOLDERS))


async def _run(program: Path, *arguments: str, lock: int | None = None) -> bytes:
    """Returns what it prints. Raises OperationFailed with its last line; a cancellation kills it and its children.

    It holds the ``lock`` as well: what a kill -9 of the harness leaves behind is still at work on the folder.
    """
    around = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        process = await asyncio.create_subprocess_exec(
            str(program),
            *arguments,
            env=around,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise OperationFailed(f"{program} cannot be run: {error.strerror}", code="not-executable") from error
    try:
        out, errors = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await finish_despite_cancellation(process.wait())
        raise
    if process.returncode:
        lines = [line for line in (out + errors).decode(errors="replace").splitlines() if line.strip()]
        raise OperationFailed((lines or ["it said nothing"])[-1].strip()[:300], code="no-environment")
    return out


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[int]:
    """Two runs do not make one environment at the same time: the second waits. Yields the lock's file descriptor."""
    with path.open("w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
        yield file.fileno()
