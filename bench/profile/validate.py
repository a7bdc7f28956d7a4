"""Checks settings of a profile that have to go together: arrivals, faults, new connections."""

import math

from bench.errors import UsageError
from bench.load.workload.arrivals import check_plan_size
from bench.profile.arms import group_arms
from bench.profile.fault import BROKER
from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from shop.workflow import SERVICES
from transports import registry


def check_connections(profile: Profile) -> None:
    """Raises UsageError where several cells would have the same connections, or one has none."""
    others = {key for cell in profile.designed for key in cell.levels} - {"security"}
    several = others or len(profile.rates_per_s) > 1 or profile.arms > 1 or profile.slo_p99_ms is not None
    if profile.connections and (several or any(cell.kind.traits.in_process for cell in expand_cells(profile))):
        raise UsageError(
            "CONNECTIONS (connections) is for methods at levels of security, since a new connection depends on nothing "
            "else, and a search or a method in one process has none; leave it out",
            code="no-new-connections",
        )


MAX_ARMS = 12
"""At once: beyond it starting takes long, and what waits uses as much CPU as what works."""


def check_slices(profile: Profile) -> None:
    """Raises UsageError for what cannot be measured in slices by turns, or not yet."""
    if not profile.slice_s:
        return
    cells = expand_cells(profile)
    whole = "; leave it out, or measure in whole trials with SLICE=0"
    if any(cell.profile.fault is not None for cell in cells):
        raise UsageError(
            f"a fault (FAULT=) takes a part away for longer than a slice lasts{whole}", code="fault-in-slices"
        )
    if other := [cell for cell in cells if cell.profile.arrivals not in ("poisson", "constant")]:
        raise UsageError(
            f"ARRIVALS={other[0].profile.arrivals} has a course in time, which a slice is too short for{whole}",
            code="arrivals-in-slices",
        )
    if profile.slo_p99_ms is not None:
        raise UsageError(
            "a search for the capacity (SLO=) is made in whole trials, since slices cut queues short; leave SLICE out",
            code="search-in-slices",
        )
    if profile.connections:
        raise UsageError(
            f"CONNECTIONS measures new connections beside whole trials{whole}", code="connections-in-slices"
        )
    if len({_procedure(cell.profile) for cell in cells}) > 1:
        raise UsageError(
            "blocks with a SLICE, SLICES, LEAD_IN or warm-up of their own cannot share a set; say it once for all",
            code="slices-differ",
        )
    arms = group_arms(cells)
    ports = len(SERVICES) * sum(arm.first.profile.processes for arm in arms)
    if profile.ports is not None and profile.ports > 65536 - ports:
        raise UsageError(
            f"PORTS is the first of {ports} ports in a row for {len(arms)} arms, 1024 to {65536 - ports}, not "
            f"{profile.ports}",
            code="bad-ports",
        )
    if (count := len(arms)) > MAX_ARMS:
        raise UsageError(
            f"{count} arms cannot be up at once, {MAX_ARMS} can; take fewer methods or levels, or measure in whole "
            "trials with SLICE=0",
            code="too-many-arms",
        )


def _procedure(profile: Profile) -> tuple[float, ...]:
    """What a set has once for all its cells."""
    return (profile.slice_s, profile.slices, profile.lead_in_s, profile.warm_up_s, profile.warm_up_max_s, profile.seed)


def check_fault(profile: Profile) -> None:
    """Raises UsageError for a fault that outlasts the window, or after which the audit cannot add up."""
    if (fault := profile.fault) is None:
        return
    if fault.at_s + fault.for_s >= profile.duration_s:
        raise UsageError(
            f"{fault.part} would be away until {fault.at_s + fault.for_s:g} s of a window of {profile.duration_s:g} s; "
            "raise DURATION, or lower FAULT_AT or FAULT_FOR",
            code="fault-outlasts-window",
        )
    if profile.store == "memory" and not all(map(_is_in_process, profile.transports)):
        raise UsageError(
            f"FAULT={fault.name} needs a store that outlives it, and STORE=memory keeps nothing; leave STORE out",
            code="fault-needs-store",
        )
    if fault.action == "kill" and fault.part != BROKER and profile.processes > 1:
        raise UsageError(
            f"FAULT={fault.name} is for services of one process; leave PROCESSES out", code="fault-of-processes"
        )


def _is_in_process(transport: str) -> bool:
    return registry.load_transport(transport).traits.in_process


def check_arrivals(profile: Profile) -> None:
    """Raises UsageError for too many orders, or for a window that cuts a step or a burst."""
    try:
        check_plan_size(max(map(profile.orders, profile.rates_per_s)))
    except ValueError as error:
        raise UsageError(f"RATE and DURATION ask for too much: {error}", code="too-many-orders") from error
    if profile.arrivals == "step" and profile.step.at_s >= profile.duration_s:
        raise UsageError(
            f"a step {profile.step.at_s:g} s into a window of {profile.duration_s:g} s never comes; lower STEP_AT or "
            "raise DURATION",
            code="step-outside-window",
        )
    periods = profile.duration_s / profile.burst.period_s
    if profile.arrivals == "burst" and (round(periods) < 1 or not math.isclose(periods, round(periods))):
        raise UsageError(
            f"a window of {profile.duration_s:g} s is {periods:g} periods of {profile.burst.period_s:g} s, and bursts "
            "have RATE as their mean over whole ones; change BURST_PERIOD or DURATION",
            code="burst-cut-by-window",
        )
