"""`make study`: the effects of a profile's factors; or, for PROFILE=capacity, the highest rate of each method.

    search    one trial after the other, as bench.runner.capacity_search asks: p99 of completion under the objective, no growing backlog
    curve     rounds of trials at equal absolute rates, and at shares of each method's own capacity

Everything tried is in search.csv and every answer in capacity.csv as soon as it is known; the curve is in trials.csv.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from bench.errors import ResultsError, StartFailed, UsageError
from bench.profile.matrix import cells, methods
from bench.profile.schema import Cell, Profile
from bench.results.caveats import BROKEN
from bench.results.histograms import QUANTILES
from bench.results.rows import Capacity, Trial
from bench.results.store import Run
from bench.runner.capacity_search import Done, Outcome, Probe, Settings, Tried, next_step
from bench.runner.runner import Conductor, Plan
from bench.stats.quantiles import samples_needed

SHARES = (0.5, 0.8)
"""Of a method's capacity: where its latency is measured, beside the equal rates."""
EQUAL_UP_TO = 0.8
"""Of the smallest capacity: an equal rate above it is left out, since one of the methods would queue."""
LOWEST = 16
"""The search goes down to the starting rate divided by this."""
FIRST_SLOT = 90
"""Tells trials of a search from those of the rounds; each method has its own."""
GENERATOR = frozenset({"late-driver", "busy-driver", "gaps", "steal", "others", "canary"})
"""What says that the load generator, or the machine, did not keep to the plan."""
OVERLOADED = frozenset({"below-rate", "backlog"})
P99_ORDERS = 1.15 * samples_needed(QUANTILES["p99_us"])
"""What a p99 takes, and some more, as a Poisson process may bring fewer than its mean."""

Measure = Callable[[Cell, int, float], Awaitable[Trial]]
"""The n-th trial of a cell's search, so many seconds long."""


def outcome_of(trial: Trial, slo_us: float) -> Outcome:
    """What a trial says of its rate. Raises StartFailed when it says nothing of its method."""
    doubts = {caveat.name for caveat in trial.caveats}
    if doubts & BROKEN:
        raise StartFailed("; ".join(caveat.text for caveat in trial.caveats), code="trial-failed")
    p99_us = trial.finish.p99_us
    if trial.complete and not doubts & OVERLOADED and p99_us is not None and p99_us <= slo_us:
        return "pass"
    return "generator" if doubts & GENERATOR else "fail"


def settings_of(profile: Profile) -> Settings:
    """A search that starts at the highest of the profile's rates."""
    start_per_s = profile.rates_per_s[-1]
    return Settings(start_per_s=start_per_s, lowest_per_s=start_per_s / LOWEST)


async def search(run: Run, profile: Profile, cell: Cell, measure: Measure) -> Done:
    """Try rates until there is an answer, and keep it. What the run has tried already is not tried again.

    Raises StartFailed when a trial could not be run, and whatever ``measure`` raises.
    """
    slo_p99_ms = slo_of(profile)
    settings = settings_of(profile)
    history = [Tried(Probe(per_s, kind), outcome) for per_s, kind, outcome in run.tried(cell.name)]
    while isinstance(step := _next(run, history, settings), Probe):
        duration_s = max(profile.duration_s, P99_ORDERS / step.per_s)
        trial = await measure(replace(cell, rate_per_s=step.per_s), len(history) + 1, duration_s)
        tried = Tried(step, outcome_of(trial, 1000 * slo_p99_ms))
        run.add_probe(trial, step.per_s, step.kind, tried.outcome)
        history.append(tried)
    if cell.name not in set(run.capacities()["cell"]):
        run.add_capacity(
            Capacity(
                cell=cell.name,
                transport=cell.transport,
                client=cell.client,
                codec=cell.codec,
                slo_p99_ms=slo_p99_ms,
                answer=step.answer,
                last_pass_per_s=step.last_pass_per_s,
                first_fail_per_s=step.first_fail_per_s,
                trials=len(history),
                reason=step.reason,
            )
        )
    return step


def _next(run: Run, history: Sequence[Tried], settings: Settings) -> Probe | Done:
    """Raises ResultsError for a history that no search with these settings has."""
    try:
        return next_step(history, settings)
    except ValueError as error:
        raise ResultsError(f"{run.path}/search.csv cannot go on: {error}", code="damaged-results") from error


def slo_of(profile: Profile) -> float:
    """The objective, in milliseconds. Raises UsageError for a profile without one."""
    if profile.slo_p99_ms is None:
        raise UsageError(
            f"profile {profile.name!r} has no objective for its p99; give SLO= in milliseconds, or PROFILE=capacity",
            code="no-objective",
        )
    return profile.slo_p99_ms


def curve(profile: Profile, found: Mapping[Cell, Done]) -> Iterator[Cell]:
    """Every method that has a capacity, at the equal rates that all of them carry and at shares of its own."""
    known = {cell: done.last_pass_per_s for cell, done in found.items() if done.last_pass_per_s is not None}
    most_per_s = EQUAL_UP_TO * min(known.values(), default=0.0)
    for cell, capacity_per_s in known.items():
        rates = {f"{rate_per_s:g}": rate_per_s for rate_per_s in profile.rates_per_s if rate_per_s <= most_per_s}
        rates |= {f"{share:.0%}": float(f"{share * capacity_per_s:.4g}") for share in SHARES}
        for said, rate_per_s in rates.items():
            yield replace(cell, name=f"{cell.name}@{said}", rate_per_s=rate_per_s)


def _asked(profile: Profile) -> list[Cell]:
    """What is searched for. Raises UsageError for a profile without an objective."""
    slo_of(profile)
    return methods(profile)


async def _explore(conductor: Conductor, wanted: list[Cell]) -> None:
    found = {}
    for slot, cell in enumerate(wanted, FIRST_SLOT):

        async def measure(at: Cell, number: int, duration_s: float, slot: int = slot) -> Trial:
            return await conductor.probe(at, number, slot, duration_s)

        found[cell] = await search(conductor.kept, conductor.profile, cell, measure)
        conductor.say(f"{cell.name}: {found[cell].reason}")
    cells = list(curve(conductor.profile, found))
    conductor.kept.update_manifest(curve=[msgspec.to_builtins(cell) for cell in cells])
    await conductor.rounds(cells)


CAPACITY = Plan("capacity", _asked, _explore)
FACTORS = Plan("factors", cells, Conductor.rounds)
"""Every combination of a profile's factors once a round; what each factor does is worked out from the trials."""


def plan_of(profile: Profile) -> Plan:
    """What `make study` does with a profile."""
    return FACTORS if profile.designed else CAPACITY
