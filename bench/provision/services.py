"""Starts the four services of a trial, each in processes of its own."""

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
from bench.provision.process import MARK_VARIABLE, finish_despite_cancellation
from bench.provision.service_main import ServiceSpec, UnknownProtocol, check_protocol
from shop.workflow import SERVICES
from transports.base import Setting
from transports.security.keys import OPENSSL_FILE
from transports.tracing import Stamp

OWN_PYTHON = Path(sys.executable)
"""The harness's own."""
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
"""How long a service may take to finish what it has in hand; then it is killed."""
_MAX_LINE_BYTES = 2**24
"""Of an answer: all stamps of a service are one."""


class ServiceProcess:
    """A running process of one service."""

    def __init__(self, spec: ServiceSpec, spawn: Callable[[], Awaitable[Process]]) -> None:
        self.name = spec.service
        self.facts: Mapping[str, str] = {}
        self._spec = spec
        self._spawn = spawn
        self._process: Process | None = None

    async def spawn(self) -> None:
        """Start the process without its settings, so that all services load their libraries at the same time."""
        self._process = await self._spawn()

    async def start(self) -> None:
        """Send the settings and return when the service is ready. Raises StartFailed."""
        if self._process is None:
            await self.spawn()
        answer = await _request_answer(self.process, self._spec, self.name, START_TIMEOUT_S)
        try:
            check_protocol(answer, f"the {self.name} service")
        except UnknownProtocol as error:
            raise StartFailed(str(error), code="service-protocol") from error
        self.facts = answer["ready"]

    async def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash would; ``start`` runs it again with the data on its disk."""
        self.process.kill()
        await self.process.wait()
        self._process = None

    async def stop(self) -> None:
        """Stop the process once it has finished the work in hand; it is killed after STOP_TIMEOUT_S seconds."""
        if self._process is not None:
            await stop_process(self._process)

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
        """Return the service's audit (service_main.build_audit). Raises StartFailed when the process has ended."""
        answer: dict[str, Any] = await self._asked("audit")
        return answer

    async def stamps(self) -> list[Stamp]:
        """Return the stamps of the sampled orders. Raises StartFailed when the process has ended."""
        return [Stamp(*stamp) for stamp in await self._asked("stamps")]

    async def clock(self) -> tuple[int, int, int]:
        """Return ``time.monotonic_ns()`` here, in the service, and here again. Raises StartFailed when it has ended."""
        before_ns = time.monotonic_ns()
        theirs_ns: int = await self._asked("clock")
        return before_ns, theirs_ns, time.monotonic_ns()

    async def _asked(self, request: str) -> Any:
        return (await _request_answer(self.process, request, self.name, STOP_TIMEOUT_S))[request]


@asynccontextmanager
async def run_services(
    transport: str,
    setting: Setting,
    *,
    folder: Path,
    logs: Path,
    store_folder: Path | None,
    databases: Mapping[str, str] | None = None,
    seen_by: Callable[[str], Setting] | None = None,
    program: str = "bench.provision.service_main",
    python: Path = OWN_PYTHON,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[dict[str, ServiceProcess]]:
    """Context manager: all four services, ready, each in as many processes as the setting says, by name.

    The second process of payment is ``payment-2``. Raises StartFailed with the first one's reason.

    Their stores are files in ``store_folder``, or the ``databases`` by service, or else in memory. ``folder`` marks the
    processes as the run's own; ``logs`` gets their error output, a file for each process.
    ``seen_by`` returns the setting for a service, where it is not the same for all. ``program`` is the module to run;
    it must answer as bench.provision.service_main does. ``python`` runs it, also when a fault starts it again; ``cwd``
    is the tree from which it is imported, this one without it, and ``env`` is added to its environment.
    """
    logs.mkdir(parents=True, exist_ok=True)
    specs = {
        service if number == 0 else f"{service}-{number + 1}": ServiceSpec(
            service=service,
            transport=transport,
            setting=replace(setting if seen_by is None else seen_by(service), process=number),
            folder=None if store_folder is None else str(store_folder),
            database=(databases or {}).get(service, ""),
        )
        for number in range(setting.processes)
        for service in SERVICES
    }
    running = {
        name: ServiceProcess(
            spec,
            partial(
                _spawn_process, python, program, folder, logs / f"{setting.trial}-{name}.log", setting.keys, cwd, env
            ),
        )
        for name, spec in specs.items()
    }
    try:
        for service in running.values():
            await service.spawn()
        await asyncio.gather(*(service.start() for service in running.values()))
        yield running
    finally:
        await finish_despite_cancellation(_await_all(service.stop() for service in running.values()))
        for log in logs.glob(f"{setting.trial}-*.log"):
            if not log.stat().st_size:
                log.unlink()


async def _await_all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


async def _spawn_process(
    python: Path,
    program: str,
    folder: Path,
    log: Path,
    keys: str,
    cwd: Path | None,
    env: Mapping[str, str] | None,
) -> Process:
    # What Python's ssl offers and takes of TLS 1.3 can be said here alone.
    openssl = {"OPENSSL_CONF": str(Path(keys) / OPENSSL_FILE)} if keys else {}
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            str(python),
            "-m",
            program,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
            cwd=cwd,
            env={**os.environ, **(env or {}), MARK_VARIABLE: str(folder), **openssl},
        )


async def _request_answer(process: Process, request: Any, name: str, patience_s: float) -> dict[str, Any]:
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


async def stop_process(process: Process) -> None:
    """Ends a process by the end of its input, or by SIGKILL after STOP_TIMEOUT_S seconds."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
