"""The four services of a trial, a process each, fresh for every trial."""

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import StartFailed
from bench.provision.process import MARK, finish
from bench.provision.service_main import NodeSpec
from shop.workflow import SERVICES
from transports.base import Setting
from transports.security.keys import OPENSSL
from transports.tracing import Stamp

START_S = 20.0
STOP_S = 10.0
"""How long a service may take to finish what it has in hand; then it is killed."""
_LINE_BYTES = 2**24
"""Of an answer: all stamps of a service are one."""


class ServiceProcess:
    """A running service."""

    def __init__(self, spec: NodeSpec, spawn: Callable[[], Awaitable[Process]]) -> None:
        self.name = spec.service
        self.facts: Mapping[str, str] = {}
        self._spec = spec
        self._spawn = spawn
        self._process: Process | None = None

    async def spawn(self) -> None:
        """A process that does not know yet what it is to be: all of them load their libraries at the same time."""
        self._process = await self._spawn()

    async def start(self) -> None:
        """Ready when this returns. Raises StartFailed."""
        if self._process is None:
            await self.spawn()
        self.facts = (await _ask(self.process, self._spec, self.name, START_S))["ready"]

    async def kill(self) -> None:
        """As a crash does; ``start`` begins anew, with what is on its disk."""
        self.process.kill()
        await self.process.wait()
        self._process = None

    async def stop(self) -> None:
        """What is in hand is finished first."""
        if self._process is not None:
            await _stop(self._process)

    @property
    def process(self) -> Process:
        assert self._process is not None, "it was not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def audit(self) -> dict[str, Any]:
        """Its books, as bench.provision.service_main.audit_of has them. Raises StartFailed when the process is gone."""
        answer: dict[str, Any] = await self._asked("audit")
        return answer

    async def stamps(self) -> list[Stamp]:
        """Of the orders that it was to stamp. Raises StartFailed when the process is gone."""
        return [Stamp(*stamp) for stamp in await self._asked("stamps")]

    async def clock(self) -> tuple[int, int, int]:
        """``time.monotonic_ns()`` here, there, and here again. Raises StartFailed when the process is gone."""
        before_ns = time.monotonic_ns()
        theirs_ns: int = await self._asked("clock")
        return before_ns, theirs_ns, time.monotonic_ns()

    async def _asked(self, request: str) -> Any:
        return (await _ask(self.process, request, self.name, STOP_S))[request]


@asynccontextmanager
async def services(
    transport: str,
    setting: Setting,
    *,
    folder: Path,
    logs: Path,
    store_folder: Path | None,
    seen_by: Callable[[str], Setting] | None = None,
    program: str = "bench.provision.service_main",
) -> AsyncIterator[dict[str, ServiceProcess]]:
    """All four, ready, each in so many processes as the setting says; the second of payment is ``payment-2``.

    Raises StartFailed with the reason that the first of them gave.

    ``folder`` marks the processes as the run's own, ``logs`` gets what they complain about, a file per service.
    ``seen_by`` gives the setting as a service is told it, where that is not what all are.
    ``program`` is a module that is told what to be and answers as bench.provision.service_main does.
    """
    logs.mkdir(parents=True, exist_ok=True)
    specs = {
        service if number == 0 else f"{service}-{number + 1}": NodeSpec(
            service=service,
            transport=transport,
            setting=replace(setting if seen_by is None else seen_by(service), process=number),
            folder=None if store_folder is None else str(store_folder),
        )
        for number in range(setting.processes)
        for service in SERVICES
    }
    running = {
        name: ServiceProcess(spec, partial(_spawn, program, folder, logs / f"{setting.trial}-{name}.log", setting.keys))
        for name, spec in specs.items()
    }
    try:
        for service in running.values():
            await service.spawn()
        await asyncio.gather(*(service.start() for service in running.values()))
        yield running
    finally:
        await finish(_all(service.stop() for service in running.values()))
        for log in logs.glob(f"{setting.trial}-*.log"):
            if not log.stat().st_size:
                log.unlink()


async def _all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


async def _spawn(program: str, folder: Path, log: Path, keys: str) -> Process:
    # What Python's ssl offers and takes of TLS 1.3 can be said here alone.
    openssl = {"OPENSSL_CONF": str(Path(keys) / OPENSSL)} if keys else {}
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            program,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            limit=_LINE_BYTES,
            start_new_session=True,
            env={**os.environ, MARK: str(folder), **openssl},
        )


async def _ask(process: Process, request: Any, name: str, patience_s: float) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdin.is_closing():  # it has ended; to write would be a RuntimeError on uvloop
            raise ConnectionError
        process.stdin.write(msgspec.json.encode(request) + b"\n")
        await process.stdin.drain()
        line = await asyncio.wait_for(process.stdout.readline(), patience_s)
    except ConnectionError:
        line = b""
    except TimeoutError as error:
        raise StartFailed(
            f"the {name} service did not answer within {patience_s:g} s; read its log", code="service-silent"
        ) from error
    if not line:
        raise StartFailed(f"the {name} service has ended; read its log", code="service-ended")
    answer: dict[str, Any] = msgspec.json.decode(line)
    if "error" in answer:
        raise StartFailed(answer["error"], code="service-failed")
    return answer


async def _stop(process: Process) -> None:
    """The end of its input is the request to stop."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
