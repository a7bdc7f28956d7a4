"""A child process: started, ready, ended.

Every child carries a mark in its environment, the folder it works in, and hands it on to its own children.
A run's folder has a name that no other run has, so a process that bears it is ours, whatever its pid is or was.
The mark is there from the first instant: a kill -9 right after a start leaves nothing that cannot be found.
"""

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from bench.errors import StartFailed

T = TypeVar("T")

MARK = "FOURWAYS_RUN"
KEEP = ("PATH", "LANG", "TZ")
"""what a child gets of our own environment"""

GRACE_S = 10.0
"""from SIGTERM to SIGKILL; RabbitMQ was seen to need 1.1 s and Kafka 0.4 s"""


def belonging_to(folder: Path) -> dict[str, str]:
    """Environment of a child that is a run's own: the mark, and temporary files below the folder that goes with the
    run."""
    return {MARK: str(folder), "TMPDIR": str(folder)}


class Child(subprocess.Popen[bytes]):
    """A child that may outlive this object: its mark finds it, and end() takes note of its end."""

    def __del__(self) -> None:
        pass  # where Popen would complain that the child still runs


def spawn(command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str] | None = None) -> Child:
    """Start a child in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Raises StartFailed when the program cannot be run.
    """
    kept = {name: os.environ[name] for name in KEEP if name in os.environ}
    try:
        with log.open("ab") as out:
            child = Child(
                command,
                cwd=folder,
                env={**kept, **(env or {}), MARK: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise StartFailed(f"{command[0]} cannot be run: {error.strerror}", code="not-executable") from error
    # Popen returns at the child's exec, a moment before the kernel has the new environment, and with it the mark.
    with suppress(psutil.Error):
        process = psutil.Process(child.pid)
        while MARK not in process.environ() and child.poll() is None:
            time.sleep(0.001)
    return child


async def ready(process: Child | None, probe: Callable[[], Awaitable[T | None]], *, deadline_s: float) -> T:
    """What the probe answers, once it answers anything.

    Raises StartFailed at once when the process ends (None: one that we cannot see), and at the deadline.
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


def marked(folder: Path) -> list[psutil.Process]:
    """The living processes started in this folder or below it, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mark = process.environ().get(MARK)
            if mark and Path(mark).is_relative_to(folder) and not gone(process):
                found.append(process)
    return found


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, if only its parent has not taken note yet."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end(processes: Iterable[psutil.Process], *, grace_s: float = GRACE_S) -> None:
    """SIGTERM to the eldest, whose children end with them; what is left after the grace gets SIGKILL.

    Erlang's helper processes must not be told before Erlang, which takes their end for a crash.
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
    _wait(eldest, grace_s)
    left = _wait(everyone, 0.5)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    _wait(left, 2.0)
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def end_below(folder: Path, *, grace_s: float = GRACE_S) -> int:
    """End every process marked with this folder or one below it, and say how many there were."""
    ended = 0
    # More than one look, since a process may start another while it is being ended.
    for _ in range(3):
        if not (processes := marked(folder)):
            break
        ended += len(processes)
        end(processes, grace_s=grace_s)
    return ended


def _wait(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """The processes that are still there after the timeout."""
    give_up = time.monotonic() + timeout_s
    while (processes := [process for process in processes if not gone(process)]) and time.monotonic() < give_up:
        time.sleep(0.02)
    return processes


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep a client library's errors to ourselves while we only ask whether there is a server."""

    def never(record: logging.LogRecord) -> bool:
        return False

    for name in loggers:
        logging.getLogger(name).addFilter(never)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(never)


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Do this to its end even if we are cancelled meanwhile; the cancellation is raised afterwards."""
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
