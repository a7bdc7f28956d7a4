"""Starts child processes, waits until they answer, and stops them, also after a kill -9.

Every child carries a mark in its environment, the folder in which it works, and its own children inherit it. A run's
folder has a name that no other run has, so a process with this mark is ours, whatever its pid. The mark is there from
the start, so that a kill -9 right after it leaves no process that cannot be found.
"""

import asyncio
import logging
import os
import pwd
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from bench.errors import StartFailed

T = TypeVar("T")

MARK_VARIABLE = "FOURWAYS_RUN"
INHERITED_VARIABLES = ("PATH", "LANG", "TZ")
"""what a child gets of our own environment"""

GRACE_S = 10.0
"""from SIGTERM to SIGKILL; RabbitMQ was seen to need 1.1 s and Kafka 0.4 s"""


def build_mark_environment(folder: Path) -> dict[str, str]:
    """Return environment variables of a child that belongs to a run: the mark, and ``folder`` for temporary files."""
    return {MARK_VARIABLE: str(folder), "TMPDIR": str(folder)}


class ChildProcess(subprocess.Popen[bytes]):
    """A child process that may outlive this object: it is found by its mark, and ``stop_processes`` reaps it."""

    def __del__(self) -> None:
        pass  # where Popen would complain that the child still runs


def spawn(
    command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str] | None = None, user: str | None = None
) -> ChildProcess:
    """Start a child in a session of its own, so that Ctrl-C in the terminal does not reach it, and return it.

    Its output is appended to ``log``. It runs as ``user``, an account of this machine, if one is given. Raises
    StartFailed when the program cannot be run.
    """
    kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    try:
        with log.open("ab") as out:
            child = ChildProcess(
                command,
                cwd=folder,
                env={**kept, **(env or {}), MARK_VARIABLE: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
    except OSError as error:
        raise StartFailed(f"{command[0]} cannot be run: {error.strerror}", code="not-executable") from error
    # Popen returns at the child's exec, a moment before the kernel has the new environment, and with it the mark.
    with suppress(psutil.Error):
        process = psutil.Process(child.pid)
        while MARK_VARIABLE not in process.environ() and child.poll() is None:
            time.sleep(0.001)
    return child


async def wait_until_answering(
    process: ChildProcess | None, probe: Callable[[], Awaitable[T | None]], *, deadline_s: float
) -> T:
    """Call ``probe`` until it returns anything but None, and return that.

    Raises StartFailed as soon as the process ends (None: one that cannot be seen), or after ``deadline_s`` seconds.
    """
    give_up = time.monotonic() + deadline_s
    while True:
        answer = await probe()
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # a client library that was just connecting has swallowed it
        if answer is not None:
            return answer
        if process is not None and (code := process.poll()) is not None:
            raise StartFailed(f"it ended with exit code {code} while starting", code="ended-while-starting")
        if time.monotonic() > give_up:
            raise StartFailed(f"it did not answer within {deadline_s:.0f} s", code="not-ready-in-time")
        await asyncio.sleep(0.1)


def find_marked_processes(folder: Path) -> list[psutil.Process]:
    """Return the living processes that are marked with this folder or one below it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mark = process.environ().get(MARK_VARIABLE)
            if mark and Path(mark).is_relative_to(folder) and not has_ended(process):
                found.append(process)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie counts as ended."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def stop_processes(processes: Iterable[psutil.Process], *, grace_s: float = GRACE_S) -> None:
    """Stop processes: SIGTERM to the topmost ones, and SIGKILL to what is left after ``grace_s`` seconds. Blocks.

    Erlang's helper processes get no signal before Erlang itself, which takes their end for a crash.
    """
    everyone = list(processes)
    pids = {process.pid for process in everyone}
    eldest = []
    for process in everyone:
        with suppress(psutil.Error):
            if process.ppid() not in pids:
                process.terminate()
                process.resume()  # one that a killed run left stopped would not hear of it
                eldest.append(process)
    _wait_for_end(eldest, grace_s)
    left = _wait_for_end(everyone, 0.5)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    _wait_for_end(left, 2.0)
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def stop_processes_below(folder: Path, *, grace_s: float = GRACE_S) -> int:
    """Stop all processes marked with this folder or one below it; return how many there were. Blocks."""
    ended = 0
    # More than one look, since a process may start another while it is being ended.
    for _ in range(3):
        if not (processes := find_marked_processes(folder)):
            break
        ended += len(processes)
        stop_processes(processes, grace_s=grace_s)
    return ended


def _wait_for_end(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """The processes that are still there after the timeout."""
    give_up = time.monotonic() + timeout_s
    while (processes := [process for process in processes if not has_ended(process)]) and time.monotonic() < give_up:
        time.sleep(0.02)
    return processes


@contextmanager
def silence_loggers(*loggers: str) -> Iterator[None]:
    """Context manager: suppress these loggers while a client library only probes for a server."""

    def never(record: logging.LogRecord) -> bool:
        return False

    for name in loggers:
        logging.getLogger(name).addFilter(never)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(never)


async def finish_despite_cancellation(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result, even if the caller is cancelled meanwhile.

    The cancellation is raised afterwards.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()
