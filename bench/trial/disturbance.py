"""Disturbs a running trial with a fault or a rate step, and reports the effect."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bench.errors import LoadError
from bench.load.locust.control import Master
from bench.load.protocol import TrialSpec
from bench.profile.fault import Fault
from bench.provision.process import finish_despite_cancellation
from bench.results.caveats import Caveat
from bench.results.rows import OutageRow, TimelineBin
from bench.trial.fault_injection import FaultTargets, FaultWindow, inject_fault
from bench.trial.outage import build_timeline, read_orders, summarize_outage

RATE_STEP = "step"
"""The name of a rate step among the faults: like an outage, it leaves a backlog behind."""


def is_disturbed(spec: TrialSpec, fault: Fault | None) -> bool:
    """Whether every order of the trial has to be logged, since a fault or rate step lies within its window."""
    steps = spec.arrivals == RATE_STEP and spec.duration_s is not None
    return fault is not None or (steps and spec.step.at_s + spec.step.for_s < (spec.duration_s or 0.0))


class Disturbance:
    """The fault or rate step of one trial and its effect; empty where the trial has none."""

    def __init__(self, spec: TrialSpec, fault: Fault | None, away: FaultWindow) -> None:
        self._spec = spec
        self._name = "" if not is_disturbed(spec, fault) else RATE_STEP if fault is None else fault.name
        self.opened_ns = 0
        self.away = away

    @property
    def missing(self) -> Caveat | None:
        """The caveat when the fault or step did not happen; None where it did, or none was asked for."""
        if not self._name or self.away.ended_ns is not None:
            return None
        said = f"{self._name} did not come about before the trial ended"
        return Caveat("fault", said, "raise DURATION, or lower FAULT_AT or FAULT_FOR")

    def outage(self, *, round_: int, slot: int, cell: str) -> tuple[OutageRow, list[TimelineBin]] | None:
        """Returns the outage's row and its timeline from the logged orders; None without one. Raises OSError."""
        if not self._name or self.away.ended_ns is None:
            return None
        orders = read_orders(Path(self._spec.raw), self.opened_ns)
        outage = summarize_outage(orders, self._name, self.away, self.opened_ns, round_=round_, slot=slot, cell=cell)
        return outage, build_timeline(orders, outage)


@contextlib.asynccontextmanager
async def disturb_during(
    master: Master,
    spec: TrialSpec,
    fault: Fault | None,
    parts: FaultTargets,
    away: FaultWindow,
) -> AsyncIterator[Disturbance]:
    """Runs the trial's fault or rate step while the context lasts; ``away`` records its instants.

    At its end whatever is still away is brought back. Raises StartFailed when there was nothing to take away, or a part
    did not come back.
    """
    trouble = Disturbance(spec, fault, away)
    if not is_disturbed(spec, fault):
        yield trouble
        return

    async def course() -> None:
        trouble.opened_ns = await master.opened(spec.id)
        if fault is not None:
            await inject_fault(fault, trouble.opened_ns, parts, trouble.away)
        else:  # the load process itself sees to it
            trouble.away.began_ns = trouble.opened_ns + round(spec.step.at_s * 1e9)
            trouble.away.ended_ns = trouble.away.began_ns + round(spec.step.for_s * 1e9)

    task = asyncio.create_task(course())
    try:
        yield trouble
    finally:
        task.cancel()
        await finish_despite_cancellation(_wait_until_ended(task))
    with contextlib.suppress(asyncio.CancelledError, LoadError):
        task.result()


async def _wait_until_ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])
