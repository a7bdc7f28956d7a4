"""A part of the shop that is away for a while, in the middle of a trial's window."""

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
from bench.provision.process import finish
from bench.provision.restart import Recipe, kill, start_again
from bench.provision.services import ServiceProcess
from bench.provision.toxiproxy import Network

DELAY_MS = 5
"""Each way, so that a question and its answer take twice as much longer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What may be taken away, as it runs."""

    services: Mapping[str, ServiceProcess]
    brokers: Sequence[Broker] = ()
    """Those that the trial's messages pass."""
    network: Network | None = None
    quorum: bool = False
    """Whether RabbitMQ's queues are quorum queues."""


@dataclass(slots=True)
class Away:
    """When it was away, by ``time.monotonic_ns()``; until it was ready again. None: it did not come to that."""

    began_ns: int | None = None
    ended_ns: int | None = None
    again: Broker | None = None
    """The broker, if it was killed and is another process now."""


async def inflict(fault: Fault, opened_ns: int, parts: Parts, away: Away) -> None:
    """Take the part away when it is time, and bring it back, also when cancelled; ``away`` is told when.

    Raises StartFailed when there is nothing to take away, or it does not come back.
    """
    await asyncio.sleep(max(0.0, (opened_ns - time.monotonic_ns()) / 1e9 + fault.at_s))
    try:
        async with _without(fault, parts, away):
            away.began_ns = time.monotonic_ns()
            await asyncio.sleep(fault.for_s)
    finally:
        if away.began_ns is not None:
            away.ended_ns = time.monotonic_ns()


def _without(fault: Fault, parts: Parts, away: Away) -> AbstractAsyncContextManager[None]:
    """Raises StartFailed when no such part is known here."""
    hit = [service for service in parts.services.values() if service.name == fault.part]
    if fault.of_network and parts.network is not None:
        return parts.network.cut() if fault.action == "cut" else parts.network.slowed(DELAY_MS)
    if fault.part == BROKER and parts.brokers and parts.brokers[0].pids:
        # The server itself comes first; its helpers have nothing to do meanwhile.
        broker = parts.brokers[0]
        return _broker_killed(broker, parts, away) if fault.action == "kill" else _stopped(broker.pids[:1])
    if hit and not fault.of_network:
        return _services_killed(hit) if fault.action == "kill" else _stopped([service.pid for service in hit])
    raise StartFailed(
        f"{fault.name}: no process of that part is known here, so that none was taken away", code="nothing-to-fault"
    )


@asynccontextmanager
async def _stopped(pids: Sequence[int]) -> AsyncIterator[None]:
    try:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    """Whoever has ended meanwhile is found out by what comes after."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@asynccontextmanager
async def _services_killed(services: Sequence[ServiceProcess]) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(service.kill() for service in services))
        yield
    finally:
        await finish(_started(services))


async def _started(services: Sequence[ServiceProcess]) -> None:
    await asyncio.gather(*(service.start() for service in services))


@asynccontextmanager
async def _broker_killed(broker: Broker, parts: Parts, away: Away) -> AsyncIterator[None]:
    """Also when cancelled it is waited for until it is back, since the trials that follow need it."""
    recipe = Recipe.of(broker)

    async def back() -> None:
        away.again = await start_again(broker, recipe, quorum=parts.quorum)

    try:
        await kill(broker)
        yield
    finally:
        await finish(back())
