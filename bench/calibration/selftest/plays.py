"""Defines self-test cases of several trials: replay, sensitivity, capacity, clocks."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bench.calibration.selftest.cases import CheckResult, SingleTrialCase, response_percentiles
from bench.calibration.selftest.queue_model import QueueModel
from bench.load.protocol import TrialReport, TrialSpec
from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from bench.runner.capacity_search import RateProbe, RateProbeResult, SearchResult, SearchSettings, find_next_step
from bench.stats.quantiles import samples_needed
from bench.trial.hops import find_clock_mismatch
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_health
from bench.trial.validity import find_invalidating_caveats
from shop.workflow import SERVICES
from transports.base import Setting

RunTrial = Callable[[TrialSpec], Awaitable[TrialReport]]
"""One trial of the stub, through Locust."""
SLO_MS = 10.0
"""As long as five orders; who comes when nobody waits takes a fifth of it."""
CLOCK_READINGS = 20
SLOWDOWN = 1.1
MIN_ORDERS_FOR_P99 = samples_needed(Fraction(99, 100)) + 1


@dataclass(frozen=True, slots=True)
class MultiTrialCase:
    """A case that runs several trials. ``run`` takes a name that is unique among trials, and a folder of its own."""

    name: str
    run: Callable[[RunTrial, str, Path], Awaitable[Sequence[CheckResult]]]


def build_spec(trial: str, model: QueueModel, **load: object) -> TrialSpec:
    return SingleTrialCase(trial, model, lambda *_: (), dict(load)).spec(trial)


async def check_replay(run: RunTrial, trial: str, folder: Path) -> list[CheckResult]:
    """Checks that the same seed gives the same plan of times, sizes and outcomes, and another seed another plan."""
    reports = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        reports[name] = await run(build_spec(f"{trial}-{name}", QueueModel(), seed=seed, duration_s=1.0))
    first, again, other = (reports[name].plan_hash for name in ("first", "again", "other"))
    same, differs = first == again, first != other
    return [
        CheckResult(
            "the same seed", "the same plan", "the same plan" if same else "another plan", bool(first) and same
        ),
        CheckResult("another seed", "another plan", "another plan" if differs else "the same plan", differs),
    ]


async def check_sensitivity(run: RunTrial, trial: str, folder: Path) -> list[CheckResult]:
    """Checks that a tenth more service time is measured as a tenth more latency."""
    p50_us = []
    for number, service_ms in enumerate((100.0, 100.0 * SLOWDOWN)):
        report = await run(build_spec(f"{trial}-{number}", QueueModel(service_ms=service_ms), duration_s=5.0))
        p50_us.append(response_percentiles(report).p50_us or 0)
    ratio = p50_us[1] / p50_us[0] if p50_us[0] else 0.0
    return [
        CheckResult("p50, slower over quicker", f"{SLOWDOWN} ± 0.02", f"{ratio:.3f}", abs(ratio - SLOWDOWN) <= 0.02)
    ]


async def check_capacity(run: RunTrial, trial: str, folder: Path) -> list[CheckResult]:
    """Checks that the search finds the capacity of one clerk who takes 2 ms: 500 a second with constant arrivals."""
    model, known_per_s = QueueModel(service_ms=2.0, clerks=1), 500.0
    settings = SearchSettings(start_per_s=300.0, lowest_per_s=50.0)
    history: list[RateProbeResult] = []
    while isinstance(step := find_next_step(history, settings), RateProbe):
        users = round(step.per_s)
        load = {
            "arrivals": "constant",
            "users": users,
            "orders_per_s_per_user": step.per_s / users,
            "duration_s": max(2.0, MIN_ORDERS_FOR_P99 / step.per_s),
        }
        report = await run(build_spec(f"{trial}-{len(history)}", model, **load))
        p99_us = response_percentiles(report).p99_us
        grew = any(
            doubt.name in ("backlog", "below-rate")
            for doubt in find_invalidating_caveats(build_health(TrialOutcome(report=report)))
        )
        passed = not grew and p99_us is not None and p99_us <= SLO_MS * 1000
        history.append(RateProbeResult(step, "pass" if passed else "fail"))
    assert isinstance(step, SearchResult)
    found_per_s = step.last_pass_per_s or 0.0
    low_per_s = known_per_s / (1 + 2 * settings.precision)
    return [
        CheckResult(
            "highest rate that passed",
            f"{low_per_s:.0f} to {known_per_s * 1.005:.0f}/s",
            f"{found_per_s:g}/s",
            step.answer == "capacity" and low_per_s <= found_per_s <= known_per_s * 1.005,
        ),
        CheckResult("trials", "at most 24", str(len(history)), len(history) <= 24),
    ]


async def check_clocks(run: RunTrial, trial: str, folder: Path) -> list[CheckResult]:
    """Checks that the clock of a service's process lies between two readings of ours."""
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    setting = Setting(trial=trial, addresses=addresses)
    widths_us, why = [], ""
    async with run_services("rest", setting, folder=folder, logs=folder, store_folder=None) as running:
        for _ in range(CLOCK_READINGS):
            bounds = {name: await service.clock() for name, service in running.items()}
            why = why or find_clock_mismatch(bounds)
            widths_us += [(after_ns - before_ns) / 1000 for before_ns, _, after_ns in bounds.values()]
    seen = why or f"agree, to {min(widths_us):.0f} us at best"
    return [CheckResult("clocks of the processes", "agree", seen, not why)]


MULTI_TRIAL_CASES = (
    MultiTrialCase("the same seed again", check_replay),
    MultiTrialCase("a tenth slower", check_sensitivity),
    MultiTrialCase("the search for a capacity of 500/s", check_capacity),
    MultiTrialCase("one clock for all processes", check_clocks),
)
