"""A part of the shop that is away for a while, in the middle of a trial's window."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from bench.errors import UsageError
from bench.provision.base import StartFailed
from bench.provision.process import finish
from bench.provision.services import ServiceProcess
from shop.workflow import SERVICES

Action = Literal["stop", "kill"]
ACTIONS: tuple[Action, ...] = ("stop", "kill")
BROKER = "broker"
"""The part that a method's server is, whatever its name."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``stop``: its process does nothing (SIGSTOP, SIGCONT). ``kill``: it ends (SIGKILL), and is started again."""

    action: Action
    part: str
    """A service, or ``broker``."""
    at_s: float
    """From the opening of the window."""
    for_s: float

    @property
    def name(self) -> str:
        return f"{self.action}-{self.part}"


@dataclass(slots=True)
class Away:
    """When it was away, by ``time.monotonic_ns()``; until it was ready again. None: it did not come to that."""

    began_ns: int | None = None
    ended_ns: int | None = None


def fault_of(text: str, *, at_s: float, for_s: float) -> Fault | None:
    """Of ``stop-payment`` and the like; None for ``none``. Raises UsageError."""
    if text == "none":
        return None
    action, _, part = text.partition("-")
    if action not in ACTIONS or part not in (*SERVICES, BROKER):
        raise UsageError(
            f"FAULT is none, or {' or '.join(ACTIONS)}, a hyphen and one of {', '.join((*SERVICES, BROKER))}, for "
            f"instance stop-payment; not {text!r}"
        )
    if action == "kill" and part == BROKER:
        raise UsageError("FAULT=kill-broker is not built yet; say stop-broker")
    return Fault(action=action, part=part, at_s=at_s, for_s=for_s)


async def inflict(
    fault: Fault, opened_ns: int, services: Mapping[str, ServiceProcess], broker_pids: Sequence[int], away: Away
) -> None:
    """Take the part away when it is time, and bring it back, also when cancelled; ``away`` is told when.

    Raises StartFailed when there is nothing to take away, or it does not come back.
    """
    await asyncio.sleep(max(0.0, (opened_ns - time.monotonic_ns()) / 1e9 + fault.at_s))
    try:
        async with _without(fault, services, broker_pids):
            away.began_ns = time.monotonic_ns()
            await asyncio.sleep(fault.for_s)
    finally:
        if away.began_ns is not None:
            away.ended_ns = time.monotonic_ns()


@asynccontextmanager
async def _without(
    fault: Fault, services: Mapping[str, ServiceProcess], broker_pids: Sequence[int]
) -> AsyncIterator[None]:
    hit = [service for service in services.values() if service.name == fault.part]
    # Of a broker the server itself, which comes first; its helpers have nothing to do meanwhile.
    pids = list(broker_pids[:1]) if fault.part == BROKER else [service.pid for service in hit]
    if not pids:
        raise StartFailed(f"{fault.name}: no process of that part is known here, so that none was taken away")
    try:
        if fault.action == "kill":
            await asyncio.gather(*(service.kill() for service in hit))
        else:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
        yield
    finally:
        if fault.action == "kill":
            await finish(_started(hit))
        else:
            for pid in pids:
                _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    """Whoever has ended meanwhile is found out by what comes after."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def _started(services: Sequence[ServiceProcess]) -> None:
    await asyncio.gather(*(service.start() for service in services))
