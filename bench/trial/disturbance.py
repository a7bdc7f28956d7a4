"""What disturbs a trial, a fault or a step of its rate, and what is to be said of it afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bench.errors import LoadError
from bench.load.locust.control import Master
from bench.load.protocol import TrialSpec
from bench.profile.fault import Fault
from bench.provision.process import finish
from bench.results.caveats import Caveat
from bench.results.rows import Outage, Stretch
from bench.trial.fault_injection import Away, Parts, inflict
from bench.trial.outage import orders_of, outage_of, timeline

STEP = "step"
"""What a step of the rate is called beside faults: what has come too fast is there to be done when it is over."""


def is_disturbed(spec: TrialSpec, fault: Fault | None) -> bool:
    """Whether every order of the trial has to be kept, since something happens and is over in its middle."""
    steps = spec.arrivals == STEP and spec.duration_s is not None
    return fault is not None or (steps and spec.step.at_s + spec.step.for_s < (spec.duration_s or 0.0))


class Trouble:
    """What happened while a trial ran; nothing where nothing was to."""

    def __init__(self, spec: TrialSpec, fault: Fault | None, away: Away) -> None:
        self._spec = spec
        self._name = "" if not is_disturbed(spec, fault) else STEP if fault is None else fault.name
        self.opened_ns = 0
        self.away = away

    @property
    def missing(self) -> Caveat | None:
        """What was asked for and did not come about; None where it did, or nothing was."""
        if not self._name or self.away.ended_ns is not None:
            return None
        said = f"{self._name} did not come about before the trial ended"
        return Caveat("fault", said, "raise DURATION, or lower FAULT_AT or FAULT_FOR")

    def outage(self, *, round_: int, slot: int, cell: str) -> tuple[Outage, list[Stretch]] | None:
        """What the raw orders of the trial say, as a whole and stretch by stretch. Raises OSError."""
        if not self._name or self.away.ended_ns is None:
            return None
        orders = orders_of(Path(self._spec.raw), self.opened_ns)
        outage = outage_of(orders, self._name, self.away, self.opened_ns, round_=round_, slot=slot, cell=cell)
        return outage, timeline(orders, outage)


@contextlib.asynccontextmanager
async def troubled(
    master: Master,
    spec: TrialSpec,
    fault: Fault | None,
    parts: Parts,
    away: Away,
) -> AsyncIterator[Trouble]:
    """While the context lasts, the fault takes its course, which ``away`` is told.

    At its end whatever is still away is brought back. Raises StartFailed when there was nothing to take away, or a part
    did not come back.
    """
    trouble = Trouble(spec, fault, away)
    if not is_disturbed(spec, fault):
        yield trouble
        return

    async def course() -> None:
        trouble.opened_ns = await master.opened(spec.id)
        if fault is not None:
            await inflict(fault, trouble.opened_ns, parts, trouble.away)
        else:  # the load process itself sees to it
            trouble.away.began_ns = trouble.opened_ns + round(spec.step.at_s * 1e9)
            trouble.away.ended_ns = trouble.away.began_ns + round(spec.step.for_s * 1e9)

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
