"""Forecasts how long trials will take, before the first one."""

from collections.abc import Iterable, Sequence

from bench.load.session import compute_tick_s
from bench.profile.schema import CellSettings, Profile
from bench.runner.warm_brokers import LEAST_PASSES, PASS_S
from bench.stats.trend import WARM_UP_WINDOWS

TRIAL_OVERHEAD_S = 1.8
"""Of a trial: processes started and stopped, queues or topics made and removed, the audit."""
COLD_START_S = 1.3
"""Of new connections to a cell, its services started and stopped: from 0.4 s (bare echo) to 3.4 s (Kafka with TLS)."""
WARM_UP_PASSES = 5
"""In which brokers mostly are level."""


def forecast_durations_s(todo: Sequence[CellSettings], cold: Iterable[str]) -> list[float]:
    """Returns the seconds of each of these trials, a broker's warm-up before the first that needs it included.

    ``cold`` are the brokers that nobody used yet, by name; one that is killed is cold again, and one that was used at a
    level of security is cold at the others.
    """
    cold = set(cold)
    every = {(name, cell.profile.security) for cell in todo for name in cold & cell.kind.traits.needs}
    warm: set[tuple[str, str]] = set()
    found = []
    for cell in todo:
        here = cell.profile
        needs = cell.kind.traits.needs
        seconds = _estimate_warm_up_s(here, cell.rate_per_s) + here.duration_s + TRIAL_OVERHEAD_S
        needed = {(name, here.security) for name in cold & needs} - warm
        if needed:
            # Before the first trial all are warmed at once, and later those that were killed.
            warm |= needed | (every if not warm else set())
            seconds += _estimate_broker_warm_up_s(here)
        if here.fault is not None and here.fault.name == "kill-broker":
            cold |= needs
            warm -= {(name, here.security) for name in needs}
        found.append(seconds)
    return found


SET_START_S = 4.0
"""Of a set: the services of all arms started, and the load process."""
SET_END_S = 2.0
"""The audit of all arms, and their end."""
SLICE_GAP_S = 0.04
"""From one slice to the next, in the mean."""


def forecast_set_s(cells: Sequence[CellSettings]) -> tuple[float, float]:
    """Returns the seconds of the brokers' warm-up before the first set of these cells, and of each set."""
    here = cells[0].profile
    needs_broker = any(cell.kind.traits.needs for cell in cells)
    slices_s = len(cells) * here.slices * (here.lead_in_s + here.slice_s + SLICE_GAP_S)
    looks_s = _estimate_warm_up_s(here, 0.0)
    return _estimate_broker_warm_up_s(here) if needs_broker else 0.0, SET_START_S + looks_s + slices_s + SET_END_S


def _estimate_broker_warm_up_s(profile: Profile) -> float:
    """Of all brokers together, where none is warm."""
    limit_s = profile.broker_warm_up_s
    if not limit_s:
        return 0.0
    carry_s = min(PASS_S, limit_s / LEAST_PASSES)
    return min(WARM_UP_PASSES, max(LEAST_PASSES, int(limit_s / carry_s))) * (carry_s + SET_START_S + SET_END_S)


def _estimate_warm_up_s(profile: Profile, rate_per_s: float) -> float:
    """How long it mostly is: as few looks as it takes, where it adapts."""
    if not 0 < profile.warm_up_s < profile.warm_up_max_s:
        return profile.warm_up_s
    looks_s = WARM_UP_WINDOWS * compute_tick_s(rate_per_s, profile.warm_up_max_s)
    return min(max(profile.warm_up_s, looks_s), profile.warm_up_max_s)
