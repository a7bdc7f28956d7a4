"""Starts a stock `locust --master` and load workers, and drives them over HTTP.

Locust runs in its own process, never in ours.

async with master(folder=folder, log=log) as locust, worker(locust, log=log):
    report = await locust.run(spec)
"""

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp

from bench.errors import LoadError
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.sets.protocol import SetNews, SetReport, SetSpec, parse_news, parse_report
from bench.paths import SCENARIO

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30.0
"""For a master or a worker; a second is usual."""
READY_TIMEOUT_S = 30.0
STOP_GRACE_S = 5.0
"""From the end of its standard input to SIGTERM, and from there to SIGKILL."""
NEWS_S = 1.0
"""How often what has come of a set is fetched."""
OVERRUN_S = 60.0
"""A trial that takes so much longer than its phases add up to will not end any more."""


@dataclass(slots=True)
class WorkerProcess:
    """A load process that the master has registered."""

    name: str
    process: Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(slots=True)
class Master:
    """A running Locust master, driven over HTTP."""

    web_url: str
    master_port: int
    process: Process
    log: Path
    session: aiohttp.ClientSession
    workers: list[WorkerProcess] = field(default_factory=list)

    async def run(self, spec: TrialSpec) -> TrialReport:
        """Runs one trial and returns its report; without ``duration_s`` it runs until cancelled.

        The report's ``error`` says why a worker could not run it. Raises LoadError when the machinery failed: a worker
        or the master was lost. Cancelled, it stops the load first.
        """
        said = await self._run_to_end(spec.id, spec.to_json(), spec.users, spec.setting.workers, spec.longest_s)
        return TrialReport.from_json(said)

    async def run_set(self, spec: SetSpec, take: Callable[[SetNews], None]) -> SetReport:
        """Plays a set, or the rest of one, and returns its report, as ``run`` does a trial's.

        ``take`` is given what comes of it meanwhile, also when it is cancelled or fails. When nothing is told for
        longer than a slice takes, all workers are killed. Raises LoadError.
        """
        playing = asyncio.ensure_future(
            self._run_to_end(spec.id, spec.to_json(), spec.processes, spec.processes, spec.longest_s)
        )
        last: SetNews | None = None
        heard_s = time.monotonic()
        try:
            while not playing.done():
                await asyncio.wait([playing], timeout=NEWS_S)
                for last in await self._take_news(spec.id):
                    take(last)
                    heard_s = time.monotonic()
                if (silence_s := time.monotonic() - heard_s) > spec.find_longest_silence_s(last):
                    for worker in self.workers:
                        with suppress(ProcessLookupError):
                            worker.process.kill()
                    raise LoadError(
                        f"the load process of {spec.id} told nothing for {silence_s:.0f} s; see {self.log}",
                        code="load-process-silent",
                    )
            report = parse_report(playing.result())
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            with suppress(LoadError):
                for last in await self._take_news(spec.id):
                    take(last)
        return report if isinstance(report, SetReport) else SetReport(id=spec.id, error=report.error)

    async def _take_news(self, trial: str) -> list[SetNews]:
        return parse_news(await self._ask("GET", f"/fourways/trials/{trial}/news"))

    async def _run_to_end(self, name: str, spec: str, users: int, workers: int, longest_s: float | None) -> str:
        """The report, as JSON."""
        phases_s = None if longest_s is None else longest_s + OVERRUN_S
        await self.ready(workers)
        try:
            async with asyncio.timeout(phases_s):
                report = await self._run_while_alive(self._run(name, spec, users))
        except TimeoutError:
            await self.stop()
            raise LoadError(
                f"trial {name} did not end within {phases_s:.0f} s; see {self.log}", code="trial-endless"
            ) from None
        except asyncio.CancelledError:
            with suppress(LoadError):
                await self.stop()
            raise
        await self.ready(workers)
        return report

    async def _run(self, name: str, spec: str, users: int) -> str:
        # All users at once: a ramp would be part of the load.
        form = {"user_count": str(users), "spawn_rate": str(max(1, users)), "trial": spec}
        answer = json.loads(await self._ask("POST", "/swarm", form))
        if not answer["success"]:
            raise LoadError(f"Locust did not start trial {name}: {answer['message']}", code="trial-refused")
        return await self._ask("GET", f"/fourways/trials/{name}")

    async def opened(self, trial: str) -> int:
        """Waits until the trial's window opens; returns the instant, ``time.monotonic_ns()``. Raises LoadError."""
        answer = json.loads(await self._ask("GET", f"/fourways/trials/{trial}/opened"))
        return int(answer["opened_ns"])

    async def stop(self) -> None:
        """Stops the running trial; returns when all workers have reported. Raises LoadError when the master is gone."""
        await self._ask("POST", "/stop")

    async def ready(self, workers: int, *, within_s: float = READY_TIMEOUT_S) -> None:
        """Waits until nothing runs and so many workers are ready. Raises LoadError after ``within_s``."""
        await self._run_while_alive(self._ask("GET", f"/fourways/ready?workers={workers}&within_s={within_s}"))

    async def wait_until_counted(self, name: str) -> None:
        """Waits until the master has registered this worker. Raises LoadError."""
        await self._run_while_alive(
            self._ask("GET", f"/fourways/ready?workers=1&name={name}&within_s={START_TIMEOUT_S}")
        )

    async def report_worker_gone(self, name: str) -> None:
        """Tells the master that this worker has ended, in case it could not say so itself."""
        await self._ask("POST", f"/fourways/gone/{name}")

    async def _ask(self, method: str, path: str, form: Mapping[str, str] | None = None) -> str:
        """Raises LoadError with the sentence that the master answered, or because it is gone."""
        try:
            async with self.session.request(method, self.web_url + path, data=form) as response:
                text = await response.text()
        except aiohttp.ClientError as error:
            raise LoadError(
                f"the Locust master does not answer any more; see {self.log}", code="locust-silent"
            ) from error
        if response.status != 200:
            raise LoadError(
                text if response.status in (404, 503) else f"Locust: {text}; see {self.log}", code="locust-refused"
            )
        return text

    async def _run_while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives. Raises LoadError as soon as the master or a worker ends instead."""
        task = asyncio.ensure_future(work)
        ends = {asyncio.ensure_future(self.process.wait()): f"the Locust master ended; see {self.log}"}
        for worker in self.workers:
            ends[asyncio.ensure_future(worker.process.wait())] = (
                f"load worker {worker.pid} ended in the middle; see {worker.log}"
            )
        try:
            await asyncio.wait([task, *ends], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise LoadError(next(sentence for end, sentence in ends.items() if end.done()), code="worker-ended")
        finally:
            for pending in (task, *ends):
                pending.cancel()
            await asyncio.gather(task, *ends, return_exceptions=True)


@asynccontextmanager
async def start_master(
    *,
    folder: Path,
    log: Path,
    web_port: int | None = None,
    master_port: int | None = None,
    scenario: Path = SCENARIO,
    trial: TrialSpec | None = None,
    fields: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Master]:
    """Starts a master on 127.0.0.1, on free ports unless given, and stops it at exit. It also ends with this process.

    It works in a folder of its own below ``folder``. ``trial`` is what a start on Locust's page runs, and ``fields``
    are options that fill the page's fields, instead of what the scenario says. ``env`` is added to the environment.
    Raises LoadError.
    """
    if web_port is not None:
        check_port_free(web_port)
    options = {
        "--locustfile": str(scenario),
        "--master-bind-host": LOOPBACK,
        "--master-bind-port": str(master_port or 0),
        "--web-host": LOOPBACK,
        "--web-port": str(web_port or 0),
        "--trial": "" if trial is None else trial.to_json(),
        **(fields or {}),
    }
    command = ["-m", "locust", "--master", "--until-eof", *(f"{name}={value}" for name, value in options.items())]
    # An empty folder, and as the home too: a locust.conf or pyproject.toml found there would change the run.
    with tempfile.TemporaryDirectory(prefix="locust-", dir=folder) as home:
        async with _start_child(command, log=log, env={**(env or {}), "HOME": home}, folder=home) as process:
            assert process.stdout is not None
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    line = await process.stdout.readline()
            except TimeoutError:
                line = b""
            if not line:
                raise LoadError(f"Locust did not start; see {log}", code="locust-not-started")
            ports = json.loads(line)
            timeout = aiohttp.ClientTimeout(total=None)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                url = f"http://{LOOPBACK}:{ports['web_port']}"
                yield Master(url, ports["master_port"], process, log, session)


@asynccontextmanager
async def start_worker(
    master: Master, *, log: Path, env: Mapping[str, str] | None = None, urgent: bool = False
) -> AsyncIterator[WorkerProcess]:
    """Starts a load process, waits until the master has registered it, and ends it at exit.

    It also ends when this process or the master does. ``env`` is added to the environment; ``urgent`` raises its
    priority: see bench.load.scheduling. Raises LoadError.
    """
    name = f"{socket.gethostname()}_{uuid4().hex}"
    command = ["-m", "bench.load.locust.worker", "--until-eof", f"--name={name}"]
    command += [f"--master-host={LOOPBACK}", f"--master-port={master.master_port}"]
    if urgent:
        command.append("--urgent")
    try:
        async with _start_child(command, log=log, env=env or {}) as process:
            started = WorkerProcess(name, process, log)
            master.workers.append(started)
            try:
                await master.wait_until_counted(name)
                yield started
            finally:
                master.workers.remove(started)
    finally:
        if not master.session.closed:
            with suppress(LoadError):
                await master.report_worker_gone(name)


@asynccontextmanager
async def _start_child(
    arguments: Sequence[str], *, log: Path, env: Mapping[str, str], folder: str | None = None
) -> AsyncIterator[Process]:
    """A Python process in a session of its own, that is told to end by the end of its standard input."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=out,
            env={**inherited, **env},
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _stop_child(process)


async def _stop_child(process: Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.close()
        for signal_it in (process.terminate, process.kill):
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_GRACE_S):
                    await process.wait()
                break
            with suppress(ProcessLookupError):
                signal_it()
        await process.wait()
        await process.stdout.read()
    finally:
        # If even this is interrupted, nothing may be left behind.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


def check_port_free(port: int) -> None:
    """Raises LoadError when this port of 127.0.0.1 is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise LoadError(
                f"port {port} on {LOOPBACK} is taken; free it or give another one", code="port-taken"
            ) from None
