"""What is asked of the harness, what must come out, and what did."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench.calibration.selftest.queue_model import Model, responses_s
from bench.calibration.selftest.stub import NAME
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.session import schedule_of
from bench.load.workload.orders import Mix
from bench.results.histograms import Percentiles, percentiles
from bench.stats.quantiles import rank
from bench.trial.row import health_of
from bench.trial.validity import doubts
from transports.base import Setting

TOLERANCE_MS = 3.0
"""A timer of the event loop rings up to a millisecond late, and the machine is shared."""
PAUSE_MS = 20.0
"""By how much the one slowest order of thousands may be later still: a shared machine pauses."""
SHARE = 0.05
"""Of the expected value, where that is more: a queue adds up what its customers come late by."""
ALL_SHIP = Mix(sold_out=0.0, declined=0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was known beforehand."""

    what: str
    expected: str
    seen: str
    right: bool


Check = Callable[[TrialSpec, Model, TrialReport], Sequence[Line]]


@dataclass(frozen=True, slots=True)
class Case:
    """A model, a load on it, and what must be reported of them."""

    name: str
    model: Model
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


def arrivals_s(spec: TrialSpec) -> list[float]:
    """When orders are due, from the plan that the load process makes of the same trial."""
    schedule = schedule_of(spec, spec.workload("w0"), 0, spec.users * spec.orders_per_s_per_user)
    assert schedule is not None
    assert schedule.plan is not None
    return [offset_ns / 1e9 for offset_ns in schedule.plan.offsets_ns]


def expected_s(spec: TrialSpec, model: Model) -> list[float]:
    """Every order's response, sorted; infinite where it never ends."""
    return sorted(math.inf if value is None else value for value in responses_s(model, arrivals_s(spec)))


def response(report: TrialReport) -> Percentiles:
    """What was measured, with all that did not finish counted as slower."""
    packed = HdrHistogram.decode(report.histograms["finish"].hdr)
    return percentiles(packed, report.planned - report.finished)


def _at(values: Sequence[float], percent: int) -> float:
    return values[rank(Fraction(percent, 100), len(values)) - 1]


def _close(what: str, expected_ms: float, seen_ms: float | None, pause_ms: float = 0.0) -> Line:
    margin_ms = max(TOLERANCE_MS, SHARE * expected_ms)
    above_ms = max(margin_ms, pause_ms)
    right = seen_ms is not None and -margin_ms <= seen_ms - expected_ms <= above_ms
    margins = f"± {margin_ms:.1f}" if above_ms == margin_ms else f"- {margin_ms:.1f} + {above_ms:.1f}"
    return Line(what, f"{expected_ms:.1f} ms {margins}", _ms(seen_ms), right)


def _counted(what: str, expected: int, seen: int) -> Line:
    return Line(what, f"{expected:,}", f"{seen:,}", expected == seen)


def _ms(value_ms: float | None) -> str:
    return "n/a" if value_ms is None else f"{value_ms:.1f} ms"


def latencies(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
    """Orders, and mean, p50 and p99 of the response where there are enough, against the recursion over the plan."""
    known_s, seen = expected_s(spec, model), response(report)
    mean_s = report.response_mean_s
    lines = [
        _counted("orders planned", len(known_s), report.planned),
        _counted("orders finished", len(known_s), report.finished),
        _close("mean", 1000 * sum(known_s) / len(known_s), None if mean_s is None else 1000 * mean_s),
        _close("p50", 1000 * _at(known_s, 50), None if seen.p50_us is None else seen.p50_us / 1000),
        _close("largest", 1000 * known_s[-1], None if seen.max_us is None else seen.max_us / 1000, PAUSE_MS),
    ]
    if seen.p99_us is not None:
        lines.append(_close("p99", 1000 * _at(known_s, 99), seen.p99_us / 1000))
    return lines


def queueing(rho: float, service_s: float) -> Check:
    """The same, and the mean that theory gives M/M/1 in infinitely long trials, 1 / (mu - lambda).

    (Kleinrock, Queueing Systems, volume 1, 1975, equation 3.26.)
    """

    def check(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
        theory_ms = 1000 * service_s / (1 - rho)
        seen_ms = 1000 * (report.response_mean_s or math.nan)
        # Half as much again either way: so short a trial of so busy a queue scatters that widely.
        right = theory_ms / 1.5 <= seen_ms <= theory_ms * 1.5
        line = Line("mean by theory", f"{theory_ms / 1.5:.0f} to {theory_ms * 1.5:.0f} ms", f"{seen_ms:.1f} ms", right)
        return [*latencies(spec, model, report), line]

    return check


def stall(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
    """S seconds once in T leave p99 between S - T / 100 and S (Tene, "How not to measure latency", 2015)."""
    assert spec.duration_s is not None
    low_s, high_s = model.stall_s - 0.01 * spec.duration_s, model.stall_s
    p99_s = (response(report).p99_us or math.nan) / 1e6
    slack_s = TOLERANCE_MS / 1000
    line = Line(
        "p99: S - T/100 to S",
        f"{low_s:.2f} to {high_s:.2f} s",
        f"{p99_s:.3f} s",
        low_s - slack_s <= p99_s <= high_s + slack_s,
    )
    return [*latencies(spec, model, report), line]


def censored(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
    """What never ends is counted, and slower than any number."""
    unfinished = sum(map(math.isinf, expected_s(spec, model)))
    p99_us = response(report).p99_us
    slowest = f"> {spec.setting.deadline_s:g} s"
    return [
        _counted("orders unfinished", unfinished, report.unfinished),
        Line("p99", slowest, slowest if p99_us == math.inf else f"{p99_us} us", p99_us == math.inf),
    ]


def capped(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
    """What a cap keeps from being sent is not sent late, or left out of sight: it is as slow as can be.

    A generator with a semaphore reports the service time of those that it let through.
    """
    takes_s, busy_until_s, sent = model.service_ms / 1000, 0.0, 0
    for at_s in arrivals_s(spec):
        if at_s >= busy_until_s:
            busy_until_s, sent = at_s + takes_s, sent + 1
    p50_us = response(report).p50_us
    return [
        _counted("orders sent", sent, report.sent),
        _counted("orders not sent", len(arrivals_s(spec)) - sent, report.not_sent),
        Line("p50", "infinite", "infinite" if p50_us == math.inf else f"{p50_us} us", p50_us == math.inf),
    ]


def too_few(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
    """A percentile that so few orders cannot tell is left out."""
    found = response(report)
    return [
        _counted("orders planned", len(arrivals_s(spec)), report.planned),
        Line("p50", "a number", "n/a" if found.p50_us is None else "a number", found.p50_us is not None),
        Line("p99", "n/a (needs 662)", "n/a" if found.p99_us is None else f"{found.p99_us} us", found.p99_us is None),
    ]


def doubted(*names: str) -> Check:
    """The trial is called invalid for these reasons, maybe among others; without any, it is valid."""

    def check(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
        seen = [caveat.name for caveat in doubts(health_of(report, None))]
        right = set(names) <= set(seen) if names else not seen
        return [Line("doubts", ", ".join(names) or "none", ", ".join(seen) or "none", right)]

    return check


def every(*checks: Check) -> Check:
    def check(spec: TrialSpec, model: Model, report: TrialReport) -> list[Line]:
        return [line for one in checks for line in one(spec, model, report)]

    return check


CASES = (
    Case("nothing is wrong", Model(service_ms=5), every(latencies, doubted()), {"users": 200}),
    Case(
        "a stall of 1.4 s in 20 s",
        # A little before the order that is due at 8 s, which else would be early or late by the luck of a timer.
        Model(stall_at_s=7.9975, stall_s=1.4),
        stall,
        {"arrivals": "constant", "duration_s": 20.0},
    ),
    Case(
        "M/M/1, half busy",
        Model(service_ms=10, law="exponential", clerks=1),
        queueing(0.5, 0.01),
        {"users": 50, "duration_s": 20.0},
    ),
    Case(
        "M/M/1, 80 % busy",
        Model(service_ms=10, law="exponential", clerks=1),
        queueing(0.8, 0.01),
        {"users": 80, "duration_s": 30.0},
    ),
    Case(
        "80 % busy, constant arrivals: nobody waits",
        Model(service_ms=10, clerks=1),
        latencies,
        {"arrivals": "constant", "users": 80},
    ),
    Case("80 % busy, Poisson arrivals: most wait", Model(service_ms=10, clerks=1), latencies, {"users": 80}),
    Case(
        "five times too much for one clerk",
        Model(service_ms=500, clerks=1),
        every(latencies, doubted("below-rate")),
        {"arrivals": "constant", "users": 10, "duration_s": 5.0, "drain_s": 30.0},
    ),
    Case("2 % never end", Model(silent_every=50), every(censored, doubted()), {"drain_s": 2.0}),
    Case(
        "no more than one order in flight, and ten come a second",
        # A little less than half a second, so that the sixth order does not meet the end of the first.
        Model(service_ms=480),
        capped,
        {"arrivals": "constant", "users": 10, "duration_s": 5.0, "in_flight_cap": 1},
    ),
    Case("50 orders", Model(), too_few, {"users": 10, "duration_s": 5.0}),
    Case(
        "a client that holds the thread for 10 ms",
        Model(hold_ms=10),
        doubted("late-driver", "gaps"),
        {"users": 60},
    ),
)
