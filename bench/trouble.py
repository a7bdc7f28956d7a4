"""A fault beside a running trial, and what is to be said of it afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from bench.faults import Away, Fault, inflict
from bench.load.locust import LoadError, Master
from bench.load.trial import TrialSpec
from bench.outage import Outage, orders_of, outage_of
from bench.provision.process import finish
from bench.provision.services import ServiceProcess


class Trouble:
    """What happened while a trial ran; nothing where there is no fault."""

    def __init__(self, spec: TrialSpec, fault: Fault | None) -> None:
        self._spec = spec
        self._fault = fault
        self.opened_ns = 0
        self.away = Away()

    @property
    def missing(self) -> str:
        """Why a fault that was asked for did not come about; empty where it did, or none was."""
        if self._fault is None or self.away.ended_ns is not None:
            return ""
        return f"{self._fault.name} did not come about before the trial ended"

    def outage(self, *, round_: int, slot: int, cell: str) -> Outage | None:
        """From the raw orders of the trial. Raises OSError."""
        if self._fault is None or self.away.ended_ns is None:
            return None
        orders = orders_of(Path(self._spec.raw), self.opened_ns)
        return outage_of(orders, self._fault, self.away, self.opened_ns, round_=round_, slot=slot, cell=cell)


@contextlib.asynccontextmanager
async def troubled(
    master: Master,
    spec: TrialSpec,
    fault: Fault | None,
    services: Mapping[str, ServiceProcess],
    broker_pids: Sequence[int],
) -> AsyncIterator[Trouble]:
    """While the context lasts, the fault takes its course; at its end whatever is still away is brought back.

    Raises StartFailed when there was nothing to take away, or a part did not come back.
    """
    trouble = Trouble(spec, fault)
    if fault is None:
        yield trouble
        return

    async def course() -> None:
        trouble.opened_ns = await master.opened(spec.id)
        await inflict(fault, trouble.opened_ns, services, broker_pids, trouble.away)

    task = asyncio.create_task(course())
    try:
        yield trouble
    finally:
        task.cancel()
        await finish(_ended(task))
    with contextlib.suppress(asyncio.CancelledError, LoadError):
        task.result()


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])
