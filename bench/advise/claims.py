"""Builds the pros and cons of each method, each with its number and its source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import pandas as pd

from bench.advise.chart_links import (
    CAPACITY_SUBJECT,
    SLOPE_SUBJECT,
    ChartLookup,
    contains_value,
    find_chart,
    find_no_chart,
    read_csv_rows,
)
from bench.advise.evidence import HEADLINE, Conditions, Evidence, Measurement, OutageEvidence
from bench.advise.method import Method
from bench.advise.nearest import KIB, ComparedMethod, MethodComparison, find_comparisons, format_size
from bench.advise.question import Question, parse_question
from bench.advise.trait_claims import build_trait_claims
from bench.report.formatting import format_estimate, format_number
from bench.results.set_tables import FROM_ALL_SETS
from bench.stats.equivalence import Verdict, classify_ratio
from bench.stats.fit import fit_line
from bench.stats.intervals import Estimate, estimate_median, scale_estimate
from bench.stats.mover import estimate_ratio

ClaimKind = Literal["pro", "con"]
METRIC_WORDING: Mapping[str, tuple[str, str, str, float]] = {
    HEADLINE: ("completes sooner", "completes later", "ms", 1000.0),
    "accept_p50_us": ("accepts sooner", "accepts later", "ms", 1000.0),
    "finish_p99_us": ("has a shorter p99 of completion", "has a longer p99 of completion", "ms", 1000.0),
    "cpu_us_per_order": ("takes less CPU for an order", "takes more CPU for an order", "us", 1.0),
    "wire_bytes_per_order": ("puts fewer bytes on the wire", "puts more bytes on the wire", "bytes", 1.0),
}
"""The words for less and more of a metric, the unit, and how many of the metric's own units make one."""
TRIALS, SUMMARY = "trials.csv", "summary.json"
"""Sources of a number of a cell."""
MIN_SIZES = 3
"""The fewest sizes for a line, and for a claim from it."""
LATENCIES = (HEADLINE, "accept_p50_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement about a method. ``source`` is a file below the run, or the test that shows a promise."""

    method: Method
    kind: ClaimKind
    subject: str
    """The subject: a metric, a fault, ``capacity``, ``a KiB more``, or a word of a promise."""
    text: str
    source: str
    run: str = ""
    """The run's name; empty for a promise, which is not measured."""
    cell: str = ""
    """The cell whose trials give the number, where it comes from one cell."""
    chart: str = ""
    """The place of the chart that draws the number; empty where there is none."""
    estimate: Estimate | None = None
    """The number that the text says, in the unit that it says; None for a promise and for a capacity."""

    @property
    def where(self) -> str:
        """The source as text: the run's name and a file of it, and the cell whose trials give the number."""
        cell = f", {self.cell}" if self.cell and self.source in (TRIALS, SUMMARY) else ""
        return f"{self.run}/{self.source}{cell}" if self.run else self.source


def build_claims(found: Evidence, look: ChartLookup = find_no_chart) -> list[Claim]:
    """Returns the claims for every measured method, each with the chart that ``look`` finds for its number.

    A difference is claimed where the whole interval of the ratio to at least one other method lies beyond the band of
    no practical difference, and no other method lies beyond it on the other side.
    """
    said = [
        *_claim_differences(found, look),
        *_claim_capacities(found, look),
        *_claim_size_slopes(found, look),
        *_claim_outages(found.outages),
    ]
    for method in found.methods.values():
        said += [
            Claim(method=method, kind=kind, subject=subject, text=text, source=source)
            for kind, subject, text, source in build_trait_claims(method)
        ]
    order = {name: number for number, name in enumerate(found.methods)}
    said.sort(key=lambda claim: (order.get(claim.method.name, len(order)), claim.method.name, claim.kind != "pro"))
    return said


def _claim_differences(found: Evidence, look: ChartLookup) -> Iterator[Claim]:
    """Yields the differences at the settings of `make bench`, and those of latency in bursts."""
    usual = parse_question({})
    for question, metrics in (
        (usual, tuple(METRIC_WORDING)),
        *((one, LATENCIES) for one in _burst_questions(found, usual)),
    ):
        near = [view for view in find_comparisons(question, found) if "burst" in view.matched_axes]
        if near:
            yield from _claim_in_comparison(near[0], metrics, look)


def _burst_questions(found: Evidence, usual: Question) -> Iterator[Question]:
    measured = {(point.place.burst, point.place.rate_per_s) for point in found.points if point.place.burst > 1}
    for burst, rate_per_s in sorted(measured):
        yield parse_question({"BURST": f"{burst:g}", "RATE": f"{rate_per_s:g}", "SHAPE": usual.shape})


def _claim_in_comparison(view: MethodComparison, metrics: Sequence[str], look: ChartLookup) -> Iterator[Claim]:
    place = view.place
    bursts = f", in bursts of {place.burst:g} times that" if place.burst > 1 else ""
    where = f"at {place.rate_per_s:g}/s of {format_size(place.size_bytes / KIB)}{bursts}"
    for metric in metrics:
        for name, row in view.rows.items():
            ratios = {
                other.method: view.ratio(metric, name, other.method.name)
                for other in view.rows.values()
                if other is not row
            }
            if claimed := _split_by_verdict(ratios):
                kind, others = claimed
                less, more, unit, scale = METRIC_WORDING[metric]
                own = scale_estimate(row.metrics[metric], 1 / scale)
                lined = _interpolation_note([row, *(view.rows[other.name] for other in others)])
                yield Claim(
                    method=row.method,
                    kind=kind,
                    subject=metric,
                    text=f"{less if kind == 'pro' else more} {where}: "
                    f"{_format_with_unit(own, unit)}, {_format_ratios(others)}{lined}",
                    # A set has too few orders for some numbers, which are of all sets together.
                    source=SUMMARY if row.sets is not None and metric in FROM_ALL_SETS else TRIALS,
                    run=view.run,
                    cell=row.cell,
                    chart=find_chart(look, view.run, metric, row.cell, own.value or 0.0) if row.cell else "",
                    estimate=own,
                )


def _interpolation_note(rows: Sequence[ComparedMethod]) -> str:
    """Returns a note for the methods whose numbers are interpolated."""
    return "".join(f"; {row.method.title} on a line through {row.line}" for row in rows if row.line)


def _split_by_verdict(ratios: Mapping[Method, Estimate]) -> tuple[ClaimKind, Mapping[Method, Estimate]] | None:
    """Returns "pro" with the methods that it is below, or "con" with those it is above; None for both or neither."""
    sides = {other: classify_ratio(ratio) for other, ratio in ratios.items()}
    less, more = ([o for o, found in sides.items() if found is one] for one in (Verdict.LESS, Verdict.MORE))
    if bool(less) == bool(more):
        return None
    return ("pro", {o: ratios[o] for o in less}) if less else ("con", {o: ratios[o] for o in more})


def _claim_capacities(found: Evidence, look: ChartLookup) -> Iterator[Claim]:
    """Yields the highest rates; the last that passed and the first that did not are the interval."""
    for one in found.capacities:
        others = [other for other in found.capacities if other.run == one.run and other.method != one.method]
        under = f"with p99 of completion under {format_number(one.slo_p99_ms)} ms"
        ends = f"{format_number(one.last_pass_per_s)}/s passed {under}"
        if one.first_fail_per_s is not None:
            ends += f", {format_number(one.first_fail_per_s)}/s did not"
        above = [o for o in others if o.first_fail_per_s is not None and one.last_pass_per_s > o.first_fail_per_s]
        below = [o for o in others if one.first_fail_per_s is not None and one.first_fail_per_s < o.last_pass_per_s]
        for kind, word, than in (("pro", "more", above), ("con", "less", below)):
            if than and len(than) == len(others):
                listed = ", ".join(f"{o.method.title} ({format_number(o.last_pass_per_s)}/s)" for o in than)
                yield Claim(
                    method=one.method,
                    kind="pro" if kind == "pro" else "con",
                    subject=CAPACITY_SUBJECT,
                    text=f"carries {word} than {listed}: in {one.codec} {ends}",
                    source="capacity.csv",
                    run=one.run,
                    cell=one.cell,
                    chart=find_chart(look, one.run, CAPACITY_SUBJECT, one.cell, one.last_pass_per_s),
                )


def _claim_size_slopes(found: Evidence, look: ChartLookup) -> Iterator[Claim]:
    """What a KiB more adds to completion: the slopes of methods in the same run, format and shape, and at one rate."""
    groups: dict[tuple[str, Conditions, str], dict[Method, list[Measurement]]] = {}
    for point in found.points:
        like = (point.run, replace(point.place, size_bytes=0), point.codec)
        groups.setdefault(like, {}).setdefault(point.method, []).append(point)
    for (run, place, codec), by_method in groups.items():
        slopes = {method: slope for method, mine in by_method.items() if (slope := _fit_slope(mine)).value}
        for method, own in slopes.items():
            claimed = _split_by_verdict(
                {other: estimate_ratio(own, slope) for other, slope in slopes.items() if other != method}
            )
            if claimed:
                kind, others = claimed
                where = f"{codec}, {place.shape}, at {place.rate_per_s:g}/s"
                but = f"; {own.reason}" if own.reason else ""
                words, value = {method.transport, HEADLINE, "slope"}, own.value or 0.0
                is_effect = contains_value(read_csv_rows(found.runs[run] / "effects.csv"), words, value)
                yield Claim(
                    method=method,
                    kind=kind,
                    subject=SLOPE_SUBJECT,
                    text=f"a KiB more ({where}) adds {_format_with_unit(own, 'us')} to completion, "
                    f"{_format_ratios(others)}{but}",
                    source="effects.csv" if is_effect else TRIALS,
                    run=run,
                    chart=find_chart(look, run, SLOPE_SUBJECT, method.transport, value),
                    estimate=own,
                )


def _fit_slope(points: Sequence[Measurement]) -> Estimate:
    """Microseconds a KiB; nothing for fewer sizes than a line is drawn through."""
    if len(points) < MIN_SIZES:
        return Estimate(None, None, None, None, len(points), "too few sizes")
    values = [
        (point.place.size_bytes / KIB, value, round_)
        for point in points
        for round_, value in point.trials[HEADLINE].dropna().items()
    ]
    places, numbers, rounds = zip(*values, strict=True) if values else ((), (), ())
    return fit_line(places, numbers, rounds).slope


def _claim_outages(found: Sequence[OutageEvidence]) -> Iterator[Claim]:
    """Yields claims on orders that failed or were lost in an outage, by trial, since orders of a trial share its luck.

    Durability classes are not set against each other.
    """

    def alike(outage: OutageEvidence) -> tuple[str, ...]:
        return (outage.run, outage.fault, outage.durability)

    for (_, fault, _), group in groupby(sorted(found, key=alike), alike):
        outages = list(group)
        for outage in outages:
            others = [other for other in outages if other.method != outage.method]
            rows, bad = outage.trials, _count_bad_orders(outage)
            count, planned, lost = int(bad.sum()), int(rows["planned"].sum()), int(rows["lost"].sum())
            how = f"{_describe_fault(fault)} ({outage.cell}), {rows['round'].nunique()} trials"
            if count:
                share = estimate_median(bad / rows["planned"] * 100)
                text = f"{count:,} of {planned:,} orders failed or did not finish with {how}: {_format_share(share)}"
                yield _outage_claim(outage, "con", fault, text, share)
            elif any(_count_bad_orders(other).any() for other in others):
                text = f"none of {planned:,} orders failed with {how}, where other methods' did"
                yield _outage_claim(outage, "pro", fault, text, estimate_median(bad / rows["planned"] * 100))
            if lost:
                share = estimate_median(rows["lost"] / rows["planned"] * 100)
                text = f"{lost:,} of {planned:,} accepted orders were lost with {how}: {_format_share(share)}"
                yield _outage_claim(outage, "con", f"{fault}, lost", text, share)


def _count_bad_orders(outage: OutageEvidence) -> "pd.Series[int]":
    found: pd.Series[int] = outage.trials["failed"] + outage.trials["unfinished"]
    return found


def _outage_claim(outage: OutageEvidence, kind: ClaimKind, subject: str, text: str, estimate: Estimate) -> Claim:
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


def _describe_fault(fault: str) -> str:
    action, _, part = fault.partition("-")
    return f"{part} {_ACTIONS.get(action, action)}"


_ACTIONS = {"stop": "stopped", "kill": "killed", "cut": "cut off", "delay": "delayed"}


def _format_with_unit(estimate: Estimate, unit: str) -> str:
    known = estimate.value is not None and estimate.low is None
    return f"{format_estimate(estimate, unit=unit)}{' (no interval)' if known else ''}"


def _format_share(percent: Estimate) -> str:
    return f"{_format_with_unit(percent, '%')} of a trial's"


def _format_ratios(ratios: Mapping[Method, Estimate]) -> str:
    return ", ".join(
        f"{format_number(ratio.value or 0)} times {other.title}'s "
        f"({format_number(ratio.low or 0)} to {format_number(ratio.high or 0)})"
        for other, ratio in ratios.items()
    )
