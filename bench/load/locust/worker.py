"""A load process: plain asyncio that speaks Locust's worker protocol to a `locust --master`.

    python -m bench.load.locust.worker --master-host 127.0.0.1 --master-port 5557

Locust documents the protocol for workers in other languages: msgpack of (type, data, node id) on a ZeroMQ DEALER.
Nothing here may import locust or gevent, not even through another module: grpc.aio hangs in a process that did.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgpack
import psutil
import uvloop
import zmq
import zmq.asyncio

from bench.load.locust.stats import LocustSetStats, LocustStats
from bench.load.protocol import DRAIN_MESSAGE, FINAL_MESSAGE, NEWS_MESSAGE, OPENED_MESSAGE, RANKS_OPTION, TrialReport
from bench.load.scheduling import raise_priority
from bench.load.session import LoadSession
from bench.load.sets.protocol import SetNews, SetReport, SetSpec, parse_spec
from bench.load.sets.session import SetSession
from transports.log_handler import set_up_log

HEARTBEAT_S = 1.0
"""From heartbeat to heartbeat; Locust's master gives a worker up after three."""
MASTER_TIMEOUT_S = 10.0
"""A master that answers no heartbeat for so long is gone."""
CONNECT_RETRY_S = 5.0
CONNECT_TIMEOUT_S = 30.0
LINGER_MS = 500
CLOSE_GRACE_S = 5.0
"""What a client may take to close once its trial has been measured; then its load process is to be ended."""
EXIT_GRACE_S = 2.0
"""From the end of the worker to that of its process, by force: a task that cannot be cancelled would hold it."""

ANY_VERSION = -1
"""What Locust's master takes from workers that are no Locust themselves."""


class Worker:
    """One worker of one Locust master; runs until the master says quit, is gone, or ``end`` is called."""

    def __init__(self, host: str, port: int, node_id: str) -> None:
        self._master_address = f"{host}:{port}"
        self._node_id = node_id
        self._state = "ready"
        self._index: int | None = None
        self._spawned_at = 0.0
        self._users: dict[str, int] = {}
        self._session: LoadSession | SetSession | None = None
        self._trial: asyncio.Task[None] | None = None
        self._last_trial = ""
        self._stats = LocustStats("")
        self._set_stats = LocustSetStats()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process = psutil.Process()
        self._process.cpu_percent()

    async def run(self) -> tuple[int, str]:
        """Runs until the end; returns the exit code, and a sentence that says why when it is not 0."""
        self._exit_result: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        context = zmq.asyncio.Context()
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, self._node_id.encode())
        self._socket.connect(f"tcp://{self._master_address}")
        self._last_message_s = self._announced_s = time.monotonic()
        self._start(self._receive())
        self._start(self._send_heartbeats())
        try:
            return await self._exit_result
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(zmq.ZMQError):
                await self._send("quit", None)
            context.destroy(linger=LINGER_MS)

    def when_ended(self, call: Callable[[int, str], None]) -> None:
        """Has this called with exit code and reason at the end, before anything is cleaned up."""

        def tell(result: asyncio.Future[tuple[int, str]]) -> None:
            if not result.cancelled():
                call(*result.result())

        self._exit_result.add_done_callback(tell)

    def end(self, code: int = 0, why: str = "") -> None:
        """Ends the worker with this exit code and reason. Idempotent."""
        if not self._exit_result.done():
            self._exit_result.set_result((code, why))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end(1, f"the load worker failed with {type(error).__name__}: {error}")

    # To the master.

    async def _send(self, kind: str, data: Any) -> None:
        await self._socket.send(msgpack.dumps((kind, data, self._node_id)))

    async def _send_heartbeats(self) -> None:
        """Every second: here I am, and this is how far it is."""
        await self._send("client_ready", ANY_VERSION)
        while True:
            heartbeat = {
                "state": self._state,
                "current_cpu_usage": self._process.cpu_percent(),
                "current_memory_usage": self._process.memory_info().rss,
            }
            if self._index is not None:
                await self._send("heartbeat", heartbeat)
            if self._session is not None:
                await self._send_stats()
            await asyncio.sleep(HEARTBEAT_S)
            await self._check_master()

    async def _check_master(self) -> None:
        now_s = time.monotonic()
        if self._index is None:
            if now_s - self._last_message_s > CONNECT_TIMEOUT_S:
                self.end(1, f"no Locust master answered at {self._master_address} for {CONNECT_TIMEOUT_S:.0f} s")
            elif now_s - self._announced_s > CONNECT_RETRY_S:
                self._announced_s = now_s
                await self._send("client_ready", ANY_VERSION)
        elif now_s - self._last_message_s > MASTER_TIMEOUT_S:
            self.end(1, f"the Locust master at {self._master_address} has been silent for {MASTER_TIMEOUT_S:.0f} s")

    async def _send_stats(self) -> None:
        if isinstance(session := self._session, SetSession):
            await self._send("stats", self._set_stats.message(session.take_shown(), self._users))
        else:
            await self._send("stats", self._stats.message(None if session is None else session.record, self._users))

    # From the master.

    async def _receive(self) -> None:
        while True:
            kind, data, _ = msgpack.loads(await self._socket.recv(), raw=False, strict_map_key=False)
            self._last_message_s = time.monotonic()
            match kind:
                case "ack":
                    self._index = (data or {}).get("index", 0)
                case "spawn":
                    await self._spawn(data)
                case "stop":
                    self._start(self._stop())
                case _ if kind == DRAIN_MESSAGE:
                    await self._drain(data["trial"])
                case "quit":
                    self.end()
                case "reconnect":
                    self.end(1, "the Locust master could not read what this worker sent; start it again")

    async def _spawn(self, job: dict[str, Any]) -> None:
        """So many users from now on: a trial begins, or its load is changed."""
        await self._send("spawning", None)
        if job["timestamp"] <= self._spawned_at:
            return
        self._spawned_at = job["timestamp"]
        options = job["parsed_options"]
        users = dict(job["user_classes_count"])
        share = sum(users.values())
        try:
            spec = parse_spec(options.get("trial") or "")
            worker = (options.get(RANKS_OPTION) or {}).get(self._node_id)
            if worker is None:
                raise ValueError("a worker that joins in the middle of a trial takes part in the next one")
        except ValueError as error:
            self._users = dict.fromkeys(users, 0)
            await self._confirm_spawn()
            await self._send_final_report(TrialReport(trial="", error=str(error)), "")
            return
        if self._session is not None and self._session.spec.id == spec.id:
            if isinstance(self._session, LoadSession):  # a set is played as it was planned
                self._users = users
                self._session.change(share)
            await self._confirm_spawn()
        elif self._session is None and self._last_trial != spec.id:
            self._state = "spawning"
            self._users = users
            self._last_trial = spec.id
            if isinstance(spec, SetSpec):
                self._set_stats = LocustSetStats()
                self._session = played = SetSession(spec, worker)
                self._trial = self._start(
                    self._carry_out(
                        played, played.run(self._confirm_spawn, lambda news: self._send_news(spec.id, news))
                    )
                )
            else:
                self._stats = LocustStats(spec.transport)
                self._session = carried = LoadSession(spec, worker, share)
                running = carried.run(self._confirm_spawn, lambda at_ns: self._send_opened(spec.id, at_ns))
                self._trial = self._start(self._carry_out(carried, running))
        else:
            await self._confirm_spawn()

    async def _confirm_spawn(self) -> None:
        self._state = "running"
        count = sum(self._users.values())
        await self._send("spawning_complete", {"user_classes_count": self._users, "user_count": count})

    async def _carry_out(
        self, session: LoadSession | SetSession, running: Coroutine[Any, Any, TrialReport | SetReport]
    ) -> None:
        report = await _await_report(session, asyncio.create_task(running))
        if self._state != "running":
            await self._confirm_spawn()
        # Locust's master looks once a second whether users are left before it takes a run for stopped, so it hears
        # that there are none before it hears of the end.
        self._users = dict.fromkeys(self._users, 0)
        await self._send_stats()
        self._session = None
        await self._send_final_report(report, session.trace)

    def _send_opened(self, trial: str, at_ns: int) -> None:
        self._start(self._send(OPENED_MESSAGE, {"trial": trial, "opened_ns": at_ns}))

    async def _send_news(self, trial: str, news: SetNews) -> None:
        await self._send(NEWS_MESSAGE, {"trial": trial, "news": news.to_json()})

    async def _send_final_report(self, report: TrialReport | SetReport, trace: str) -> None:
        if report.error is not None:
            # On Locust's page, under Exceptions.
            await self._send("exception", {"msg": report.error, "traceback": trace or report.error})
        await self._send(FINAL_MESSAGE, report.to_json())

    async def _drain(self, trial: str) -> None:
        if self._session is not None:
            self._session.stop()
        elif self._last_trial != trial:
            # Stopped so soon that the start has not come yet, and must not have an effect when it does.
            self._last_trial = trial
            await self._send(FINAL_MESSAGE, TrialReport(trial=trial, error="it was stopped before it began").to_json())

    async def _stop(self) -> None:
        if self._trial is not None:
            if self._session is not None:
                self._session.stop()
            await asyncio.wait([self._trial])
            self._trial = None
        self._users = {}
        # First the state: a heartbeat that comes between or after these must not say that it still runs.
        self._state = "ready"
        await self._send("client_stopped", None)
        await self._send("client_ready", ANY_VERSION)


async def _await_report(session: LoadSession | SetSession, task: asyncio.Task[Any]) -> TrialReport | SetReport:
    """Returns what the session reports; a client that does not close then is left behind."""
    reported = asyncio.create_task(session.reported.wait())
    try:
        await asyncio.wait([task, reported], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([task], timeout=CLOSE_GRACE_S)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=CLOSE_GRACE_S)
        raise
    finally:
        reported.cancel()
    if task.done() or session.report is None:
        report: TrialReport | SetReport = await task
        return report
    return session.report


async def run_worker(host: str, port: int, node_id: str, *, until_eof: bool) -> tuple[int, str]:
    """Runs a worker that also ends on SIGINT and SIGTERM, and with ``until_eof`` at the end of standard input.

    Returns the exit code and the reason.
    """
    worker = Worker(host, port, node_id)
    running = asyncio.ensure_future(worker.run())
    await asyncio.sleep(0)
    worker.when_ended(_exit_soon)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.end)
    if until_eof:
        threading.Thread(target=_end_at_eof, args=(loop, worker), daemon=True).start()
    return await running


def _exit_soon(code: int, why: str) -> None:
    """Ends the process in a moment, whatever still runs in it: nothing may survive at real-time priority."""

    def leave() -> None:
        time.sleep(EXIT_GRACE_S)
        if why:
            print(why, file=sys.stderr, flush=True)
        os._exit(code)

    threading.Thread(target=leave, daemon=True).start()


def _end_at_eof(loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
    # os.read, since a thread that is left inside sys.stdin keeps the interpreter from exiting.
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(worker.end)
    # A loop that is blocked does not hear of it.
    time.sleep(2 * EXIT_GRACE_S)
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load.locust.worker", description="A load process for a Locust master."
    )
    parser.add_argument("--master-host", default="127.0.0.1")
    parser.add_argument("--master-port", type=int, default=5557)
    parser.add_argument("--name", default=f"{socket.gethostname()}_{uuid4().hex}", help="unique among the workers")
    parser.add_argument("--urgent", action="store_true", help="scheduled before others, where the system permits it")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    set_up_log()
    if options.urgent:
        raise_priority()
    code, why = uvloop.run(
        run_worker(options.master_host, options.master_port, options.name, until_eof=options.until_eof)
    )
    if why:
        print(why, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
