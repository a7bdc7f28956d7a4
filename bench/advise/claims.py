"""Pros and cons: what the data show of each method, and what it promises, each statement with where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import pandas as pd

from bench.advise.chart_links import CAPACITY, SLOPE, Lookup, chart_of, holds, nowhere, rows_of
from bench.advise.evidence import HEADLINE, Evidence, Outage, Place, Point
from bench.advise.method import Method
from bench.advise.nearest import KIB, Row, View, size_said, views
from bench.advise.question import Question, asked
from bench.advise.trait_claims import promises
from bench.report.formatting import digits, estimated
from bench.stats.equivalence import Verdict, verdict
from bench.stats.fit import line
from bench.stats.intervals import Estimate, median_of
from bench.stats.mover import ratio_of

Kind = Literal["pro", "con"]
MEASURES: Mapping[str, tuple[str, str, str, float]] = {
    HEADLINE: ("completes sooner", "completes later", "ms", 1000.0),
    "accept_p50_us": ("accepts sooner", "accepts later", "ms", 1000.0),
    "finish_p99_us": ("has a shorter p99 of completion", "has a longer p99 of completion", "ms", 1000.0),
    "cpu_us_per_order": ("takes less CPU for an order", "takes more CPU for an order", "us", 1.0),
    "wire_bytes_per_order": ("puts fewer bytes on the wire", "puts more bytes on the wire", "bytes", 1.0),
}
"""How less and more of a metric is said, its unit, and how many of its own units that is."""
SIZES = 3
"""The fewest through which a line over sizes is drawn, and claimed."""
LATENCIES = (HEADLINE, "accept_p50_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement about a method. ``source`` is a file below the run, or the test that shows a promise."""

    method: Method
    kind: Kind
    subject: str
    """What it is about: a metric, a fault, ``capacity``, ``a KiB more``, or a word of a promise."""
    text: str
    source: str
    run: str = ""
    """Empty for what is promised and not measured."""
    cell: str = ""
    """Whose trials give the number, where it is one cell's."""
    chart: str = ""
    """Where a chart draws the number; empty where none does."""
    estimate: Estimate | None = None
    """The number that the text says, in the unit that it says; None for a promise and for a capacity."""

    @property
    def where(self) -> str:
        """The source for a reader: the run's name goes before a file of it, and whose trials they are after them."""
        cell = f", {self.cell}" if self.cell and self.source == "trials.csv" else ""
        return f"{self.run}/{self.source}{cell}" if self.run else self.source


def claims(found: Evidence, look: Lookup = nowhere) -> list[Claim]:
    """Of every method that was measured, each with the chart that ``look`` finds for its number.

    A difference is claimed where the whole interval of the ratio lies beyond the band of no practical difference, to at
    least one other method, and no other method lies beyond it on the other side.
    """
    said = [*_compared(found, look), *_carried(found, look), *_of_sizes(found, look), *_of_outages(found.outages)]
    for method in found.methods.values():
        said += [
            Claim(method=method, kind=kind, subject=subject, text=text, source=source)
            for kind, subject, text, source in promises(method)
        ]
    order = {name: number for number, name in enumerate(found.methods)}
    said.sort(key=lambda claim: (order.get(claim.method.name, len(order)), claim.method.name, claim.kind != "pro"))
    return said


def _compared(found: Evidence, look: Lookup) -> Iterator[Claim]:
    """At what `make bench` measures; and in bursts, where the question is what becomes of latency."""
    usual = asked({})
    for question, metrics in ((usual, tuple(MEASURES)), *((one, LATENCIES) for one in _in_bursts(found, usual))):
        near = [view for view in views(question, found) if "burst" in view.honoured]
        if near:
            yield from _in_view(near[0], metrics, look)


def _in_bursts(found: Evidence, usual: Question) -> Iterator[Question]:
    measured = {(point.place.burst, point.place.rate_per_s) for point in found.points if point.place.burst > 1}
    for burst, rate_per_s in sorted(measured):
        yield asked({"BURST": f"{burst:g}", "RATE": f"{rate_per_s:g}", "SHAPE": usual.shape})


def _in_view(view: View, metrics: Sequence[str], look: Lookup) -> Iterator[Claim]:
    place = view.place
    bursts = f", in bursts of {place.burst:g} times that" if place.burst > 1 else ""
    where = f"at {place.rate_per_s:g}/s of {size_said(place.size_bytes / KIB)}{bursts}"
    for metric in metrics:
        for name, row in view.rows.items():
            ratios = {
                other.method: view.ratio(metric, name, other.method.name)
                for other in view.rows.values()
                if other is not row
            }
            if claimed := _side(ratios):
                kind, others = claimed
                less, more, unit, scale = MEASURES[metric]
                own = _scaled(row.metrics[metric], 1 / scale)
                lined = _lined([row, *(view.rows[other.name] for other in others)])
                yield Claim(
                    method=row.method,
                    kind=kind,
                    subject=metric,
                    text=f"{less if kind == 'pro' else more} {where}: {_number(own, unit)}, {_times(others)}{lined}",
                    source="trials.csv",
                    run=view.run,
                    cell=row.cell,
                    chart=chart_of(look, view.run, metric, row.cell, own.value or 0.0) if row.cell else "",
                    estimate=own,
                )


def _lined(rows: Sequence[Row]) -> str:
    """Which of them were not measured at the place itself."""
    return "".join(f"; {row.method.title} on a line through {row.line}" for row in rows if row.line)


def _side(ratios: Mapping[Method, Estimate]) -> tuple[Kind, Mapping[Method, Estimate]] | None:
    """Less than some others is a pro and more a con, where it is not both; with the ratios to those others."""
    sides = {other: verdict(ratio) for other, ratio in ratios.items()}
    less, more = ([o for o, found in sides.items() if found is one] for one in (Verdict.LESS, Verdict.MORE))
    if bool(less) == bool(more):
        return None
    return ("pro", {o: ratios[o] for o in less}) if less else ("con", {o: ratios[o] for o in more})


def _carried(found: Evidence, look: Lookup) -> Iterator[Claim]:
    """The highest rate, between the last that passed and the first that did not, which are its interval."""
    for one in found.capacities:
        others = [other for other in found.capacities if other.run == one.run and other.method != one.method]
        under = f"with p99 of completion under {digits(one.slo_p99_ms)} ms"
        ends = f"{digits(one.last_pass_per_s)}/s passed {under}"
        if one.first_fail_per_s is not None:
            ends += f", {digits(one.first_fail_per_s)}/s did not"
        above = [o for o in others if o.first_fail_per_s is not None and one.last_pass_per_s > o.first_fail_per_s]
        below = [o for o in others if one.first_fail_per_s is not None and one.first_fail_per_s < o.last_pass_per_s]
        for kind, word, than in (("pro", "more", above), ("con", "less", below)):
            if than and len(than) == len(others):
                listed = ", ".join(f"{o.method.title} ({digits(o.last_pass_per_s)}/s)" for o in than)
                yield Claim(
                    method=one.method,
                    kind="pro" if kind == "pro" else "con",
                    subject=CAPACITY,
                    text=f"carries {word} than {listed}: in {one.codec} {ends}",
                    source="capacity.csv",
                    run=one.run,
                    cell=one.cell,
                    chart=chart_of(look, one.run, CAPACITY, one.cell, one.last_pass_per_s),
                )


def _of_sizes(found: Evidence, look: Lookup) -> Iterator[Claim]:
    """What a KiB more adds to completion: the slopes of methods in the same run, format and shape, and at one rate."""
    groups: dict[tuple[str, Place, str], dict[Method, list[Point]]] = {}
    for point in found.points:
        like = (point.run, replace(point.place, size_bytes=0), point.codec)
        groups.setdefault(like, {}).setdefault(point.method, []).append(point)
    for (run, place, codec), by_method in groups.items():
        slopes = {method: slope for method, mine in by_method.items() if (slope := _slope(mine)).value}
        for method, own in slopes.items():
            claimed = _side({other: ratio_of(own, slope) for other, slope in slopes.items() if other != method})
            if claimed:
                kind, others = claimed
                where = f"{codec}, {place.shape}, at {place.rate_per_s:g}/s"
                but = f"; {own.reason}" if own.reason else ""
                words, value = {method.transport, HEADLINE, "slope"}, own.value or 0.0
                is_effect = holds(rows_of(found.runs[run] / "effects.csv"), words, value)
                yield Claim(
                    method=method,
                    kind=kind,
                    subject=SLOPE,
                    text=f"a KiB more ({where}) adds {_number(own, 'us')} to completion, {_times(others)}{but}",
                    source="effects.csv" if is_effect else "trials.csv",
                    run=run,
                    chart=chart_of(look, run, SLOPE, method.transport, value),
                    estimate=own,
                )


def _slope(points: Sequence[Point]) -> Estimate:
    """Microseconds a KiB; nothing for fewer sizes than a line is drawn through."""
    if len(points) < SIZES:
        return Estimate(None, None, None, None, len(points), "too few sizes")
    values = [
        (point.place.size_bytes / KIB, value, round_)
        for point in points
        for round_, value in point.trials[HEADLINE].dropna().items()
    ]
    places, numbers, rounds = zip(*values, strict=True) if values else ((), (), ())
    return line(places, numbers, rounds).slope


def _of_outages(found: Sequence[Outage]) -> Iterator[Claim]:
    """Which orders failed or were lost while a part was away: trial by trial, since orders of one share its luck.

    Durability classes are not set against each other.
    """

    def alike(outage: Outage) -> tuple[str, ...]:
        return (outage.run, outage.fault, outage.durability)

    for (_, fault, _), group in groupby(sorted(found, key=alike), alike):
        outages = list(group)
        for outage in outages:
            others = [other for other in outages if other.method != outage.method]
            rows, bad = outage.trials, _bad(outage)
            count, planned, lost = int(bad.sum()), int(rows["planned"].sum()), int(rows["lost"].sum())
            how = f"{_outage(fault)} ({outage.cell}), {rows['round'].nunique()} trials"
            if count:
                share = median_of(bad / rows["planned"] * 100)
                text = f"{count:,} of {planned:,} orders failed or did not finish with {how}: {_of_trial(share)}"
                yield _claim(outage, "con", fault, text, share)
            elif any(_bad(other).any() for other in others):
                text = f"none of {planned:,} orders failed with {how}, where other methods' did"
                yield _claim(outage, "pro", fault, text, median_of(bad / rows["planned"] * 100))
            if lost:
                share = median_of(rows["lost"] / rows["planned"] * 100)
                text = f"{lost:,} of {planned:,} accepted orders were lost with {how}: {_of_trial(share)}"
                yield _claim(outage, "con", f"{fault}, lost", text, share)


def _bad(outage: Outage) -> "pd.Series[int]":
    found: pd.Series[int] = outage.trials["failed"] + outage.trials["unfinished"]
    return found


def _claim(outage: Outage, kind: Kind, subject: str, text: str, estimate: Estimate) -> Claim:
    return Claim(
        method=outage.method,
        kind=kind,
        subject=subject,
        text=text,
        source="outages.csv",
        run=outage.run,
        cell=outage.cell,
        estimate=estimate,
    )


def _outage(fault: str) -> str:
    action, _, part = fault.partition("-")
    return f"{part} {_ACTIONS.get(action, action)}"


_ACTIONS = {"stop": "stopped", "kill": "killed", "cut": "cut off", "delay": "delayed"}


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    value, low, high = (
        None if number is None else number * factor for number in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, estimate.coverage, estimate.n, estimate.reason)


def _number(estimate: Estimate, unit: str) -> str:
    known = estimate.value is not None and estimate.low is None
    return f"{estimated(estimate, unit=unit)}{' (no interval)' if known else ''}"


def _of_trial(percent: Estimate) -> str:
    return f"{_number(percent, '%')} of a trial's"


def _times(ratios: Mapping[Method, Estimate]) -> str:
    return ", ".join(
        f"{digits(ratio.value or 0)} times {other.title}'s ({digits(ratio.low or 0)} to {digits(ratio.high or 0)})"
        for other, ratio in ratios.items()
    )
