"""Whether what a profile asks for goes together; the sentence about what does not names it."""

import math
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.load.workload.arrivals import check_size
from bench.profile import parsing as values
from bench.profile.fault import BROKER
from bench.profile.matrix import cells

if TYPE_CHECKING:
    from bench.profile.schema import Profile


def of_cold(profile: "Profile") -> None:
    """Raises UsageError where several cells would have the same connections, or one has none."""
    others = {key for cell in profile.designed for key in cell.levels} - {"security"}
    several = others or len(profile.rates_per_s) > 1 or profile.arms > 1 or profile.slo_p99_ms is not None
    if profile.cold and (several or any(cell.kind.traits.in_process for cell in cells(profile))):
        raise UsageError(
            f"{values.shown('cold')} is for methods at levels of security, since a new connection depends on nothing "
            "else, and a search or a method in one process has none; leave it out"
        )


def of_fault(profile: "Profile") -> None:
    """Raises UsageError for a fault that would not be over in the window, or after which the books cannot add up."""
    if (fault := profile.fault) is None:
        return
    if fault.at_s + fault.for_s >= profile.duration_s:
        raise UsageError(
            f"{fault.part} would be away until {fault.at_s + fault.for_s:g} s of a window of {profile.duration_s:g} s; "
            "raise DURATION, or lower FAULT_AT or FAULT_FOR"
        )
    if fault.action == "kill" and fault.part != BROKER and profile.store == "memory":
        raise UsageError(f"FAULT={fault.name} needs a store that survives it; say STORE=sqlite")
    if fault.action == "kill" and fault.part != BROKER and profile.processes > 1:
        raise UsageError(f"FAULT={fault.name} is for services of one process; leave PROCESSES out")


def of_plan(profile: "Profile") -> None:
    """Raises UsageError for a plan that is too large, or is not what its arrivals promise."""
    try:
        check_size(max(map(profile.orders, profile.rates_per_s)))
    except ValueError as error:
        raise UsageError(f"RATE and DURATION ask for too much: {error}") from error
    if profile.arrivals == "step" and profile.step.at_s >= profile.duration_s:
        raise UsageError(
            f"a step {profile.step.at_s:g} s into a window of {profile.duration_s:g} s never comes; lower STEP_AT or "
            "raise DURATION"
        )
    periods = profile.duration_s / profile.burst.period_s
    if profile.arrivals == "burst" and (round(periods) < 1 or not math.isclose(periods, round(periods))):
        raise UsageError(
            f"a window of {profile.duration_s:g} s is {periods:g} periods of {profile.burst.period_s:g} s, and bursts "
            "have RATE as their mean over whole ones; change BURST_PERIOD or DURATION"
        )
