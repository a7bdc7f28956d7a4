"""Defines single-trial self-test cases: a queue model, a load, and the expected result."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench.calibration.selftest.queue_model import QueueModel, compute_responses_s
from bench.calibration.selftest.stub import NAME
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.session import build_schedule
from bench.load.workload.orders import Mix
from bench.results.histograms import Percentiles, compute_percentiles
from bench.stats.quantiles import quantile_rank
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_health
from bench.trial.validity import find_invalidating_caveats
from transports.base import Setting

TOLERANCE_MS = 3.0
"""A timer of the event loop rings up to a millisecond late, and the machine is shared."""
PAUSE_MS = 20.0
"""By how much the one slowest order of thousands may be later still: a shared machine pauses."""
RELATIVE_TOLERANCE = 0.05
"""Of the expected value, where that is more: a queue adds up what its customers come late by."""
ALL_SHIP = Mix(sold_out=0.0, declined=0.0)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One checked fact: what was expected and what was seen."""

    what: str
    expected: str
    seen: str
    right: bool


Check = Callable[[TrialSpec, QueueModel, TrialReport], Sequence[CheckResult]]


@dataclass(frozen=True, slots=True)
class SingleTrialCase:
    """A queue model, a load on it, and the check of the report."""

    name: str
    model: QueueModel
    check: Check
    load: dict[str, Any] = field(default_factory=dict)
    """Over what ``spec`` says: fields of TrialSpec."""

    def spec(self, trial: str) -> TrialSpec:
        given: dict[str, Any] = {
            "arrivals": "poisson",
            "users": 100,
            # The first order of a cold process is some 10 ms late, and the model's clock starts with it.
            "warm_up_s": 0.5,
            "duration_s": 10.0,
            "drain_s": 5.0,
            "mix": ALL_SHIP,
            "payload_bytes": 512,
        } | self.load
        setting = Setting(trial=trial, deadline_s=given["drain_s"], options=msgspec.to_builtins(self.model))
        return TrialSpec(id=trial, transport=NAME, setting=setting, **given)


def plan_arrivals_s(spec: TrialSpec) -> list[float]:
    """Returns when orders are due, in seconds, from the same plan that the load process makes for the trial."""
    schedule = build_schedule(spec, spec.build_workload("w0"), 0, spec.users * spec.orders_per_s_per_user)
    assert schedule is not None
    assert schedule.plan is not None
    return [offset_ns / 1e9 for offset_ns in schedule.plan.offsets_ns]


def expected_responses_s(spec: TrialSpec, model: QueueModel) -> list[float]:
    """Returns the response time of every order in seconds, sorted; infinite where it never ends."""
    return sorted(math.inf if value is None else value for value in compute_responses_s(model, plan_arrivals_s(spec)))


def response_percentiles(report: TrialReport) -> Percentiles:
    """Returns the measured percentiles, with every unfinished order counted as slower than any other."""
    packed = HdrHistogram.decode(report.histograms["finish"].hdr)
    return compute_percentiles(packed, report.planned - report.finished)


def _percentile(values: Sequence[float], percent: int) -> float:
    return values[quantile_rank(Fraction(percent, 100), len(values)) - 1]


def _check_close(what: str, expected_ms: float, seen_ms: float | None, pause_ms: float = 0.0) -> CheckResult:
    margin_ms = max(TOLERANCE_MS, RELATIVE_TOLERANCE * expected_ms)
    above_ms = max(margin_ms, pause_ms)
    right = seen_ms is not None and -margin_ms <= seen_ms - expected_ms <= above_ms
    margins = f"± {margin_ms:.1f}" if above_ms == margin_ms else f"- {margin_ms:.1f} + {above_ms:.1f}"
    return CheckResult(what, f"{expected_ms:.1f} ms {margins}", _format_ms(seen_ms), right)


def _check_count(what: str, expected: int, seen: int) -> CheckResult:
    return CheckResult(what, f"{expected:,}", f"{seen:,}", expected == seen)


def _format_ms(value_ms: float | None) -> str:
    return "n/a" if value_ms is None else f"{value_ms:.1f} ms"


def check_latencies(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
    """Checks the counts of orders, and mean, p50 and p99 of the response, against the recursion over the plan."""
    known_s, seen = expected_responses_s(spec, model), response_percentiles(report)
    mean_s = report.response_mean_s
    lines = [
        _check_count("orders planned", len(known_s), report.planned),
        _check_count("orders finished", len(known_s), report.finished),
        _check_close("mean", 1000 * sum(known_s) / len(known_s), None if mean_s is None else 1000 * mean_s),
        _check_close("p50", 1000 * _percentile(known_s, 50), None if seen.p50_us is None else seen.p50_us / 1000),
        _check_close("largest", 1000 * known_s[-1], None if seen.max_us is None else seen.max_us / 1000, PAUSE_MS),
    ]
    if seen.p99_us is not None:
        lines.append(_check_close("p99", 1000 * _percentile(known_s, 99), seen.p99_us / 1000))
    return lines


def check_mm1_mean(rho: float, service_s: float) -> Check:
    """Returns a check of the latencies and of the mean by theory of M/M/1, 1 / (mu - lambda), in endless trials.

    (Kleinrock, Queueing Systems, volume 1, 1975, equation 3.26.)
    """

    def check(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
        theory_ms = 1000 * service_s / (1 - rho)
        seen_ms = 1000 * (report.response_mean_s or math.nan)
        # Half as much again either way: so short a trial of so busy a queue scatters that widely.
        right = theory_ms / 1.5 <= seen_ms <= theory_ms * 1.5
        line = CheckResult(
            "mean by theory", f"{theory_ms / 1.5:.0f} to {theory_ms * 1.5:.0f} ms", f"{seen_ms:.1f} ms", right
        )
        return [*check_latencies(spec, model, report), line]

    return check


def check_stall(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
    """Checks that a stall of S seconds in T leaves p99 between S - T / 100 and S.

    (Tene, "How not to measure latency", 2015.)
    """
    assert spec.duration_s is not None
    low_s, high_s = model.stall_s - 0.01 * spec.duration_s, model.stall_s
    p99_s = (response_percentiles(report).p99_us or math.nan) / 1e6
    slack_s = TOLERANCE_MS / 1000
    line = CheckResult(
        "p99: S - T/100 to S",
        f"{low_s:.2f} to {high_s:.2f} s",
        f"{p99_s:.3f} s",
        low_s - slack_s <= p99_s <= high_s + slack_s,
    )
    return [*check_latencies(spec, model, report), line]


def check_unfinished(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
    """Checks that orders that never end are counted, and are slower than any number."""
    unfinished = sum(map(math.isinf, expected_responses_s(spec, model)))
    p99_us = response_percentiles(report).p99_us
    slowest = f"> {spec.setting.deadline_s:g} s"
    return [
        _check_count("orders unfinished", unfinished, report.unfinished),
        CheckResult("p99", slowest, slowest if p99_us == math.inf else f"{p99_us} us", p99_us == math.inf),
    ]


def check_in_flight_cap(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
    """Checks that orders held back by the cap on orders in flight count as infinitely slow, and are not left out.

    A generator with a semaphore reports the service time of those that it let through.
    """
    takes_s, busy_until_s, sent = model.service_ms / 1000, 0.0, 0
    for at_s in plan_arrivals_s(spec):
        if at_s >= busy_until_s:
            busy_until_s, sent = at_s + takes_s, sent + 1
    p50_us = response_percentiles(report).p50_us
    return [
        _check_count("orders sent", sent, report.sent),
        _check_count("orders not sent", len(plan_arrivals_s(spec)) - sent, report.not_sent),
        CheckResult("p50", "infinite", "infinite" if p50_us == math.inf else f"{p50_us} us", p50_us == math.inf),
    ]


def check_too_few(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
    """Checks that a percentile that so few orders cannot tell is left out."""
    found = response_percentiles(report)
    return [
        _check_count("orders planned", len(plan_arrivals_s(spec)), report.planned),
        CheckResult("p50", "a number", "n/a" if found.p50_us is None else "a number", found.p50_us is not None),
        CheckResult(
            "p99", "n/a (needs 662)", "n/a" if found.p99_us is None else f"{found.p99_us} us", found.p99_us is None
        ),
    ]


def check_caveats(*names: str) -> Check:
    """Returns a check that the trial is invalid for these reasons, among others; without any, that it is valid."""

    def check(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
        seen = [caveat.name for caveat in find_invalidating_caveats(build_health(TrialOutcome(report=report)))]
        right = set(names) <= set(seen) if names else not seen
        return [CheckResult("doubts", ", ".join(names) or "none", ", ".join(seen) or "none", right)]

    return check


def run_all(*checks: Check) -> Check:
    """Returns a check that runs all of these and joins their results."""

    def check(spec: TrialSpec, model: QueueModel, report: TrialReport) -> list[CheckResult]:
        return [line for one in checks for line in one(spec, model, report)]

    return check


SINGLE_TRIAL_CASES = (
    SingleTrialCase(
        "nothing is wrong", QueueModel(service_ms=5), run_all(check_latencies, check_caveats()), {"users": 200}
    ),
    SingleTrialCase(
        "a stall of 1.4 s in 20 s",
        # A little before the order that is due at 8 s, which else would be early or late by the luck of a timer.
        QueueModel(stall_at_s=7.9975, stall_s=1.4),
        check_stall,
        {"arrivals": "constant", "duration_s": 20.0},
    ),
    SingleTrialCase(
        "M/M/1, half busy",
        QueueModel(service_ms=10, law="exponential", clerks=1),
        check_mm1_mean(0.5, 0.01),
        {"users": 50, "duration_s": 20.0},
    ),
    SingleTrialCase(
        "M/M/1, 80 % busy",
        QueueModel(service_ms=10, law="exponential", clerks=1),
        check_mm1_mean(0.8, 0.01),
        {"users": 80, "duration_s": 30.0},
    ),
    SingleTrialCase(
        "80 % busy, constant arrivals: nobody waits",
        QueueModel(service_ms=10, clerks=1),
        check_latencies,
        {"arrivals": "constant", "users": 80},
    ),
    SingleTrialCase(
        "80 % busy, Poisson arrivals: most wait", QueueModel(service_ms=10, clerks=1), check_latencies, {"users": 80}
    ),
    SingleTrialCase(
        "five times too much for one clerk",
        QueueModel(service_ms=500, clerks=1),
        run_all(check_latencies, check_caveats("below-rate")),
        {"arrivals": "constant", "users": 10, "duration_s": 5.0, "drain_s": 30.0},
    ),
    SingleTrialCase(
        "2 % never end", QueueModel(silent_every=50), run_all(check_unfinished, check_caveats()), {"drain_s": 2.0}
    ),
    SingleTrialCase(
        "no more than one order in flight, and ten come a second",
        # A little less than half a second, so that the sixth order does not meet the end of the first.
        QueueModel(service_ms=480),
        check_in_flight_cap,
        {"arrivals": "constant", "users": 10, "duration_s": 5.0, "in_flight_cap": 1},
    ),
    SingleTrialCase("50 orders", QueueModel(), check_too_few, {"users": 10, "duration_s": 5.0}),
    SingleTrialCase(
        "a client that holds the thread for 10 ms",
        QueueModel(hold_ms=10),
        check_caveats("late-driver", "gaps"),
        {"users": 60},
    ),
)
