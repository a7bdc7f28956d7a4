"""Finds the measured comparisons nearest to a question, interpolating where needed.

Methods are compared side by side within one run: runs are never mixed, since each has a machine, an hour and rounds of
its own. Between measured sizes or rates a line is fitted through the nearest; beyond them there is no answer.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, product

import pandas as pd

from bench.advise.evidence import HEADLINE, METRICS, Conditions, Evidence, Measurement
from bench.advise.method import Method
from bench.advise.question import Question
from bench.results.measures import columns_used_in
from bench.results.set_tables import SetStatistics
from bench.stats.fit import fit_line
from bench.stats.intervals import Estimate, estimate_median
from bench.stats.mover import estimate_ratio
from bench.stats.paired import paired_ratio

SAME_RATE_TOLERANCE = 0.01
"""Rates this near to each other are the same."""
AXES = ("size_bytes", "shape", "format", "rate_per_s", "burst", "security", "durability")
"""Fields of a question that a view may honour."""
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedMethod:
    """A method in a comparison: measured there, or interpolated."""

    method: Method
    codec: str
    metrics: Mapping[str, Estimate]
    orders: Mapping[str, int]
    cell: str = ""
    """The name of its cell; empty for a method on a line."""
    trials: pd.DataFrame | None = None
    """The trials by round; None for a method on a line, whose rounds are no pairs any more."""
    sets: SetStatistics | None = field(default=None, metadata={"is_inner": True})
    """Estimates of its run where that was played in sets."""
    line: str = ""
    """The places through which the line goes; empty for a measured cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodComparison:
    """Methods compared side by side in one run. ``matched_axes`` are the axes on which it is at what was asked."""

    run: str
    place: Conditions
    matched_axes: frozenset[str]
    rows: Mapping[str, ComparedMethod]
    """The methods by name."""
    in_sets: bool = field(default=False, metadata={"is_inner": True})
    """Whether the run was played in sets."""

    def ratio(self, metric: str, method: str, base: str) -> Estimate:
        """Returns the ratio to ``base``: by sets or paired rounds where both were measured, else from two intervals."""
        one, other = self.rows[method], self.rows[base]
        if one.sets is not None and one.sets is other.sets:
            return one.sets.ratio(metric, one.cell, other.cell)
        if one.trials is not None and other.trials is not None:
            both = one.trials[[metric]].join(other.trials[[metric]].add_suffix("_base"), how="inner").dropna()
            return paired_ratio(list(both[metric]), list(both[f"{metric}_base"]))
        return estimate_ratio(one.metrics[metric], other.metrics[metric])

    @property
    def measured(self) -> int:
        """The number of methods that were measured at these very conditions."""
        return sum(not row.line for row in self.rows.values())


def find_comparisons(question: Question, evidence: Evidence) -> list[MethodComparison]:
    """Returns the comparisons nearest to the question, the nearest first.

    One is left out when another has all of its methods and matches more axes. A comparison that does not match the
    bursts stays beside another that does not either when it lies on the other side of what is asked.
    """
    found = [view for view in _find_candidates(question, evidence) if view.rows]
    found.sort(key=lambda view: (-len(view.matched_axes), -len(view.rows), -view.measured))
    kept: list[MethodComparison] = []
    for view in found:
        if not any(_makes_redundant(other, view) for other in kept):
            kept.append(view)
    return kept


def _makes_redundant(one: MethodComparison, other: MethodComparison) -> bool:
    comparable = one.place.burst == other.place.burst or "burst" in one.matched_axes
    return comparable and one.matched_axes >= other.matched_axes and one.rows.keys() >= other.rows.keys()


def _find_candidates(question: Question, evidence: Evidence) -> Iterator[MethodComparison]:
    bursts = find_nearest_bursts(question.burst, {point.place.burst for point in evidence.points})
    for points in group_side_by_side(point for point in evidence.points if point.place.burst in bursts):
        place = points[0].place
        equal = {
            axis: getattr(place, axis) == getattr(question, axis)
            for axis in ("shape", "burst", "security", "durability")
        }
        honoured = frozenset(axis for axis, same in equal.items() if same)
        for by_method, as_asked in select_format(points, question.format):
            yield from _compare_at_conditions(
                question, points[0], honoured | ({"format"} if as_asked else set()), by_method
            )


def group_side_by_side(points: Iterable[Measurement]) -> Iterator[list[Measurement]]:
    """Yields the points of one run that differ in method, format, size and rate alone."""

    def kind(point: Measurement) -> tuple[str, ...]:
        place = point.place
        return (point.run, place.shape, f"{place.burst:g}", place.security, place.durability)

    for _, group in groupby(sorted(points, key=kind), kind):
        yield list(group)


def find_nearest_bursts(asked: float, measured: set[float]) -> set[float]:
    """Returns the burst asked for, or else the nearest on either side; and 1, arrivals without bursts."""
    if asked in measured:
        return {asked, 1.0}
    below, above = [at for at in measured if at < asked], [at for at in measured if at > asked]
    return {*sorted(below)[-1:], *sorted(above)[:1], 1.0}


def select_format(
    points: Sequence[Measurement], asked: str | None
) -> Iterator[tuple[Mapping[str, list[Measurement]], bool]]:
    """Yields points by method in the format asked for (True) and, if some lack it, in each one's own (False)."""
    by_method: dict[Method, list[Measurement]] = {}
    for point in points:
        by_method.setdefault(point.method, []).append(point)
    own = {method.name: _select_own_format(method, mine) for method, mine in by_method.items()}
    if asked is None:
        yield own, True
        return
    of_asked = {
        method.name: there
        for method, mine in by_method.items()
        if (there := [point for point in mine if point.codec == asked])
    }
    yield of_asked, True
    if of_asked.keys() < own.keys():
        yield own, False


def _select_own_format(method: Method, points: Sequence[Measurement]) -> list[Measurement]:
    """Returns the points in the transport's default codec, or in the first codec in which it was measured."""
    codecs = [point.codec for point in points]
    usual = method.traits.codec if method.traits is not None else ""
    codec = usual if usual in codecs else codecs[0]
    return [point for point in points if point.codec == codec]


def _compare_at_conditions(
    question: Question, like: Measurement, honoured: frozenset[str], by_method: Mapping[str, list[Measurement]]
) -> Iterator[MethodComparison]:
    """Yields comparisons at the size and rate asked, at one of them and the nearest other, at the nearest of both."""
    sizes = _sort_by_distance(
        {point.place.size_bytes for mine in by_method.values() for point in mine}, question.size_bytes
    )
    rates = _sort_by_distance(
        {point.place.rate_per_s for mine in by_method.values() for point in mine}, question.rate_per_s
    )
    for some_sizes, some_rates, more in (
        ([question.size_bytes], [question.rate_per_s], {"size_bytes", "rate_per_s"}),
        ([question.size_bytes], rates, {"size_bytes"}),
        (sizes, [question.rate_per_s], {"rate_per_s"}),
        (sizes, rates, set()),
    ):
        best: MethodComparison | None = None
        for size_bytes, rate_per_s in product(some_sizes, some_rates):
            place = replace(like.place, size_bytes=int(size_bytes), rate_per_s=rate_per_s)
            rows = {method: row for method, mine in by_method.items() if (row := estimate_at(mine, place)) is not None}
            if best is None or len(rows) > len(best.rows):
                best = MethodComparison(
                    run=like.run,
                    place=place,
                    matched_axes=honoured | more,
                    rows=rows,
                    in_sets=like.sets is not None,
                )
            if len(rows) == len(by_method):
                break
        if best is not None:
            yield best


def _sort_by_distance(measured: set[float] | set[int], asked: float) -> list[float]:
    return sorted(measured, key=lambda value: abs(math.log(value / asked)))


def estimate_at(points: Sequence[Measurement], place: Conditions) -> ComparedMethod | None:
    """Returns a method at these conditions: as measured there, or on a line between places on both sides; None beyond.

    Where fewer rounds were measured than an interval takes, a line is preferred if one holds, since it has an interval.
    """
    at_rate = [point for point in points if _is_same_rate(point.place.rate_per_s, place.rate_per_s)]
    at_size = [point for point in points if point.place.size_bytes == place.size_bytes]
    there = [point for point in at_rate if point in at_size]
    if there and there[0].has_interval:
        return _measured_method(there[0])
    fitted = _interpolate(at_rate, place.size_bytes / KIB, lambda point: point.place.size_bytes / KIB, format_size)
    if fitted is None and not there:
        fitted = _interpolate(
            at_size, place.rate_per_s, lambda point: point.place.rate_per_s, lambda rate: f"{rate:g}/s"
        )
    return fitted if fitted is not None or not there else _measured_method(there[0])


def _is_same_rate(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME_RATE_TOLERANCE)


def _measured_method(point: Measurement) -> ComparedMethod:
    return ComparedMethod(
        method=point.method,
        codec=point.codec,
        metrics={metric: _estimate(point, metric) for metric in METRICS},
        orders=point.orders,
        cell=point.cell,
        trials=point.trials,
        sets=point.sets,
    )


def _estimate(point: Measurement, metric: str) -> Estimate:
    whole = None if point.sets is None else point.sets.estimate_whole(metric, point.cell)
    return whole or estimate_median(point.trials[metric].dropna())


def _interpolate(
    points: Sequence[Measurement], at: float, where: Callable[[Measurement], float], said: Callable[[float], str]
) -> ComparedMethod | None:
    """Returns a method on a line through the nearest two places on either side, or one where that line bends.

    What was measured at the place itself counts too. None at either end and beyond, and where the short line bends as
    well.
    """
    here = [point for point in points if where(point) == at]
    below = sorted((point for point in points if where(point) < at), key=where)
    above = sorted((point for point in points if where(point) > at), key=where)
    if not below or not above:
        return None
    for reach in (1,) if here else (2, 1):
        through = [*below[-reach:], *here, *above[:reach]]
        metrics = {metric: _fit_metric_at(through, metric, at, where) for metric in METRICS}
        if metrics[HEADLINE].value is not None:
            first = through[0]
            return ComparedMethod(
                method=first.method,
                codec=first.codec,
                metrics=metrics,
                orders={order: sum(point.orders[order] for point in through) for order in columns_used_in("orders")},
                line=", ".join(said(where(point)) for point in through),
            )
    return None


def _fit_metric_at(
    through: Sequence[Measurement], metric: str, at: float, where: Callable[[Measurement], float]
) -> Estimate:
    """Returns the value of the line at this place: its intercept when places are counted from there."""
    values = [
        (where(point) - at, value, round_)
        for point in through
        for round_, value in point.trials[metric].dropna().items()
    ]
    places, numbers, rounds = zip(*values, strict=True) if values else ((), (), ())
    found = fit_line(places, numbers, rounds).intercept
    if found.reason:
        return Estimate(None, None, None, None, found.n, f"no line holds: {found.reason}")
    return found


def format_size(kib: float) -> str:
    """Formats KiB as a profile writes sizes: 200B, 1KiB, 1MiB."""
    size_bytes = round(kib * KIB)
    for unit, name in ((KIB**2, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.4g}{name}"
    return f"{size_bytes}B"
