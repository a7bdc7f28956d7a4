"""Injects a fault during a trial: stops, kills, cuts off or delays a part, and restores it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from bench.errors import StartFailed
from bench.profile.fault import BROKER, Fault
from bench.provision.base import Broker
from bench.provision.process import finish_despite_cancellation
from bench.provision.restart import LaunchSpec, kill_server, restart_server
from bench.provision.services import ServiceProcess
from bench.provision.toxiproxy import ProxyNetwork

DELAY_MS = 5
"""The delay each way; a question and its answer together take twice this longer."""


@dataclass(frozen=True, slots=True)
class FaultTargets:
    """The running parts of a trial that a fault may hit."""

    services: Mapping[str, ServiceProcess]
    brokers: Sequence[Broker] = ()
    """The brokers that the trial's messages pass."""
    network: ProxyNetwork | None = None
    quorum: bool = False
    """Whether RabbitMQ's queues are quorum queues."""


@dataclass(slots=True)
class FaultWindow:
    """When the part was away, by ``time.monotonic_ns()``; until it was ready again. None: it did not come to that."""

    began_ns: int | None = None
    ended_ns: int | None = None
    again: Broker | None = None
    """The broker, if it was killed and is another process now."""


async def inject_fault(fault: Fault, opened_ns: int, parts: FaultTargets, away: FaultWindow) -> None:
    """Takes the part away when it is time and brings it back, also when cancelled; sets ``away``'s instants.

    Raises StartFailed when there is nothing to take away, or it does not come back.
    """
    await asyncio.sleep(max(0.0, (opened_ns - time.monotonic_ns()) / 1e9 + fault.at_s))
    try:
        async with _apply_fault(fault, parts, away):
            away.began_ns = time.monotonic_ns()
            await asyncio.sleep(fault.for_s)
    finally:
        if away.began_ns is not None:
            away.ended_ns = time.monotonic_ns()


def _apply_fault(fault: Fault, parts: FaultTargets, away: FaultWindow) -> AbstractAsyncContextManager[None]:
    """Raises StartFailed when no such part is known here."""
    hit = [service for service in parts.services.values() if service.name == fault.part]
    if fault.of_network and parts.network is not None:
        return parts.network.cut_traffic() if fault.action == "cut" else parts.network.delay_traffic(DELAY_MS)
    if fault.part == BROKER and parts.brokers and parts.brokers[0].pids:
        # The first is the server itself; its helpers have nothing to do meanwhile.
        broker = parts.brokers[0]
        return _kill_broker(broker, parts, away) if fault.action == "kill" else _stop_processes(broker.pids[:1])
    if hit and not fault.of_network:
        return _kill_services(hit) if fault.action == "kill" else _stop_processes([service.pid for service in hit])
    raise StartFailed(
        f"{fault.name}: no process of that part runs here, so the fault did nothing", code="nothing-to-fault"
    )


@asynccontextmanager
async def _stop_processes(pids: Sequence[int]) -> AsyncIterator[None]:
    try:
        for pid in pids:
            _send_signal(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _send_signal(pid, signal.SIGCONT)


def _send_signal(pid: int, number: int) -> None:
    """Sends the signal; a process that has ended meanwhile is detected later."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@asynccontextmanager
async def _kill_services(services: Sequence[ServiceProcess]) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(service.kill() for service in services))
        yield
    finally:
        await finish_despite_cancellation(_start_services(services))


async def _start_services(services: Sequence[ServiceProcess]) -> None:
    await asyncio.gather(*(service.start() for service in services))


@asynccontextmanager
async def _kill_broker(broker: Broker, parts: FaultTargets, away: FaultWindow) -> AsyncIterator[None]:
    """Kills the broker and brings it back, also when cancelled, since the trials that follow need it."""
    recipe = LaunchSpec.of(broker)

    async def back() -> None:
        away.again = await restart_server(broker, recipe, quorum=parts.quorum)

    try:
        await kill_server(broker)
        yield
    finally:
        await finish_despite_cancellation(back())
