"""Runs `make study`: a profile's factors, or for PROFILE=capacity the highest rates.

    search    one trial after the other, as bench.runner.capacity_search asks: p99 of completion under the objective,
              no growing backlog
    curve     rounds of trials at equal absolute rates, and at shares of each method's own capacity

Everything tried is in search.csv and every answer in capacity.csv as soon as it is known; the curve is in trials.csv.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec

from bench.errors import ResultsError, StartFailed, UsageError
from bench.profile.matrix import expand_cells, expand_methods, settings_for
from bench.profile.schema import CellSettings, Profile
from bench.results.caveats import DISQUALIFYING_CAVEATS
from bench.results.histograms import QUANTILES
from bench.results.rows import CapacityRow, TrialRow
from bench.results.store import RunFolder
from bench.runner.capacity_search import (
    ProbeOutcome,
    RateProbe,
    RateProbeResult,
    SearchResult,
    SearchSettings,
    find_next_step,
)
from bench.runner.runner import Runner, RunPlan
from bench.runner.sets import choose_rounds_plan
from bench.stats.quantiles import samples_needed

CAPACITY_SHARES = (0.5, 0.8)
"""Of a method's capacity: where its latency is measured, beside the equal rates."""
MAX_EQUAL_RATE_SHARE = 0.8
"""Of the smallest capacity: an equal rate above it is left out, since one of the methods would queue."""
LOWEST_RATE_DIVISOR = 16
"""The search goes down to the starting rate divided by this."""
FIRST_SEARCH_SLOT = 90
"""Tells trials of a search from those of the rounds; each method has its own."""
GENERATOR_CAVEATS = frozenset({"late-driver", "busy-driver", "gaps", "steal", "background-load", "machine-too-slow"})
"""What says that the load generator, or the machine, did not keep to the plan."""
OVERLOAD_CAVEATS = frozenset({"below-rate", "backlog"})
MIN_P99_ORDERS = 1.15 * samples_needed(QUANTILES["p99_us"])
"""What a p99 takes, and some more, as a Poisson process may bring fewer than its mean."""

MeasureRate = Callable[[CellSettings, int, float], Awaitable[TrialRow]]
"""The n-th trial of a cell's search, so many seconds long."""


def judge_trial(trial: TrialRow, slo_us: float) -> ProbeOutcome:
    """Judges a trial of the search against the objective. Raises StartFailed when it says nothing of its method."""
    doubts = {caveat.name for caveat in trial.caveats}
    if doubts & DISQUALIFYING_CAVEATS:
        raise StartFailed("; ".join(caveat.text for caveat in trial.caveats), code="trial-failed")
    p99_us = trial.measures["finish"].p99_us
    if trial.complete and not doubts & OVERLOAD_CAVEATS and p99_us is not None and p99_us <= slo_us:
        return "pass"
    return "generator" if doubts & GENERATOR_CAVEATS else "fail"


def build_search_settings(profile: Profile) -> SearchSettings:
    """Builds the settings of a search that starts at the highest of the profile's rates."""
    start_per_s = profile.rates_per_s[-1]
    return SearchSettings(start_per_s=start_per_s, lowest_per_s=start_per_s / LOWEST_RATE_DIVISOR)


async def search_capacity(run: RunFolder, profile: Profile, cell: CellSettings, measure: MeasureRate) -> SearchResult:
    """Tries rates until the capacity is known, stores it and returns it. Rates tried before are not tried again.

    Raises StartFailed when a trial could not be run, and whatever ``measure`` raises.
    """
    slo_p99_ms = require_slo_ms(profile)
    settings = build_search_settings(profile)
    history = [RateProbeResult(RateProbe(per_s, kind), outcome) for per_s, kind, outcome in run.read_probes(cell.name)]
    while isinstance(step := _find_next_step(run, history, settings), RateProbe):
        duration_s = max(profile.duration_s, MIN_P99_ORDERS / step.per_s)
        trial = await measure(cell.at_rate(step.per_s), len(history) + 1, duration_s)
        tried = RateProbeResult(step, judge_trial(trial, 1000 * slo_p99_ms))
        run.add_probe(trial, step.per_s, step.kind, tried.outcome)
        history.append(tried)
    if cell.name not in set(run.capacities()["cell"]):
        run.add_capacity(
            CapacityRow(
                cell=cell.name,
                transport=cell.transport,
                client=cell.cell.client,
                codec=cell.cell.codec,
                slo_p99_ms=slo_p99_ms,
                answer=step.answer,
                last_pass_per_s=step.last_pass_per_s,
                first_fail_per_s=step.first_fail_per_s,
                trials=len(history),
                reason=step.reason,
            )
        )
    return step


def _find_next_step(
    run: RunFolder, history: Sequence[RateProbeResult], settings: SearchSettings
) -> RateProbe | SearchResult:
    """Raises ResultsError for a history that no search with these settings has."""
    try:
        return find_next_step(history, settings)
    except ValueError as error:
        raise ResultsError(f"{run.path}/search.csv cannot go on: {error}", code="damaged-results") from error


def require_slo_ms(profile: Profile) -> float:
    """Returns the p99 objective in milliseconds. Raises UsageError for a profile without one."""
    if profile.slo_p99_ms is None:
        raise UsageError(
            f"profile {profile.name!r} has no objective for its p99; give SLO= in milliseconds, or PROFILE=capacity",
            code="no-objective",
        )
    return profile.slo_p99_ms


def build_curve_cells(profile: Profile, found: Mapping[CellSettings, SearchResult]) -> Iterator[CellSettings]:
    """Yields the cells of the curve: each method with a capacity, at the common rates and at shares of its own."""
    known = {cell: done.last_pass_per_s for cell, done in found.items() if done.last_pass_per_s is not None}
    most_per_s = MAX_EQUAL_RATE_SHARE * min(known.values(), default=0.0)
    for cell, capacity_per_s in known.items():
        rates = {f"{rate_per_s:g}": rate_per_s for rate_per_s in profile.rates_per_s if rate_per_s <= most_per_s}
        rates |= {f"{share:.0%}": float(f"{share * capacity_per_s:.4g}") for share in CAPACITY_SHARES}
        for said, rate_per_s in rates.items():
            yield cell.at_rate(rate_per_s, f"{cell.name}@{said}")


def _select_methods(profile: Profile) -> list[CellSettings]:
    """What is searched for. Raises UsageError for a profile without an objective."""
    require_slo_ms(profile)
    return [settings_for(profile, cell) for cell in expand_methods(profile)]


async def _search_and_measure_curve(runner: Runner, wanted: list[CellSettings]) -> None:
    found = {}
    for slot, cell in enumerate(wanted, FIRST_SEARCH_SLOT):

        async def measure(at: CellSettings, number: int, duration_s: float, slot: int = slot) -> TrialRow:
            return await runner.probe(at, number, slot, duration_s)

        found[cell] = await search_capacity(runner.kept, runner.profile, cell, measure)
        runner.say(f"{cell.name}: {found[cell].reason}")
    curve = list(build_curve_cells(runner.profile, found))
    runner.kept.update_manifest(curve=[msgspec.to_builtins(cell.cell) for cell in curve])
    await runner.rounds(curve)


CAPACITY_PLAN = RunPlan("capacity", _select_methods, _search_and_measure_curve)
FACTORS_PLAN = RunPlan("factors", expand_cells, Runner.rounds)
"""Every combination of a profile's factors once a round; what each factor does is worked out from the trials."""


def choose_plan(profile: Profile) -> RunPlan:
    """Returns the plan that `make study` runs for a profile. Raises UsageError for slices, but of an A/A run."""
    if profile.arms > 1:
        return choose_rounds_plan(profile)
    if profile.slice_s:
        raise UsageError(
            "`make study` measures in whole trials; leave SLICE out, or take `make bench` for a few cells",
            code="study-in-slices",
        )
    return FACTORS_PLAN if profile.designed else CAPACITY_PLAN
