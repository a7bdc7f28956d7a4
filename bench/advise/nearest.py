"""Where the evidence comes nearest to a question: methods side by side in one run, at one place.

Runs are never mixed, since each has a machine, an hour and rounds of its own. Between measured places a line is laid
through the nearest; beyond them there is nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product

import pandas as pd

from bench.advise.evidence import HEADLINE, METRICS, Evidence, Place, Point
from bench.advise.method import Method
from bench.advise.question import Question
from bench.stats.fit import line
from bench.stats.intervals import Estimate, fewest, median_of
from bench.stats.mover import ratio_of
from bench.stats.paired import paired_ratio
from bench.stats.summary import ORDERS

SAME_RATE = 0.01
"""Rates this near to each other are the same."""
AXES = ("size_bytes", "shape", "format", "rate_per_s", "burst", "security", "durability")
"""Fields of a question that a view may honour."""
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A method in a view."""

    method: Method
    codec: str
    metrics: Mapping[str, Estimate]
    orders: Mapping[str, int]
    cell: str = ""
    """Empty for what lies on a line."""
    trials: pd.DataFrame | None = None
    """By round; None for what lies on a line, where rounds are no pairs any more."""
    line: str = ""
    """Through which places, where it is no cell of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Methods side by side. ``honoured`` are the AXES on which it is at what was asked."""

    run: str
    place: Place
    honoured: frozenset[str]
    rows: Mapping[str, Row]
    """By the method's name."""

    def ratio(self, metric: str, method: str, base: str) -> Estimate:
        """By paired rounds where both were measured in enough of them, else from the two intervals."""
        one, other = self.rows[method], self.rows[base]
        if one.trials is not None and other.trials is not None:
            both = one.trials[[metric]].join(other.trials[[metric]].add_suffix("_base"), how="inner").dropna()
            return paired_ratio(list(both[metric]), list(both[f"{metric}_base"]))
        return ratio_of(one.metrics[metric], other.metrics[metric])

    @property
    def measured(self) -> int:
        """How many of its methods were measured at this very place."""
        return sum(not row.line for row in self.rows.values())


def views(question: Question, evidence: Evidence) -> list[View]:
    """Those that are nearest to what is asked, the nearest first.

    One is left out when another has all of its methods and honours more. A view that does not honour the bursts stays
    beside one that does not either when it is on the other side of what is asked.
    """
    found = [view for view in _candidates(question, evidence) if view.rows]
    found.sort(key=lambda view: (-len(view.honoured), -len(view.rows), -view.measured))
    kept: list[View] = []
    for view in found:
        if not any(_covers(other, view) for other in kept):
            kept.append(view)
    return kept


def _covers(one: View, other: View) -> bool:
    comparable = one.place.burst == other.place.burst or "burst" in one.honoured
    return comparable and one.honoured >= other.honoured and one.rows.keys() >= other.rows.keys()


def _candidates(question: Question, evidence: Evidence) -> Iterator[View]:
    bursts = nearest_bursts(question.burst, {point.place.burst for point in evidence.points})
    for points in side_by_side(point for point in evidence.points if point.place.burst in bursts):
        place = points[0].place
        equal = {
            axis: getattr(place, axis) == getattr(question, axis)
            for axis in ("shape", "burst", "security", "durability")
        }
        honoured = frozenset(axis for axis, same in equal.items() if same)
        for by_method, as_asked in in_format(points, question.format):
            yield from _at_places(question, points[0], honoured | ({"format"} if as_asked else set()), by_method)


def side_by_side(points: Iterable[Point]) -> Iterator[list[Point]]:
    """Those of one run that differ in method, format, size and rate alone."""

    def kind(point: Point) -> tuple[str, ...]:
        place = point.place
        return (point.run, place.shape, f"{place.burst:g}", place.security, place.durability)

    for _, group in groupby(sorted(points, key=kind), kind):
        yield list(group)


def nearest_bursts(asked: float, measured: set[float]) -> set[float]:
    """What is asked; where it was not measured, what is next to it on either side; and arrivals without bursts."""
    if asked in measured:
        return {asked, 1.0}
    below, above = [at for at in measured if at < asked], [at for at in measured if at > asked]
    return {*sorted(below)[-1:], *sorted(above)[:1], 1.0}


def in_format(points: Sequence[Point], asked: str | None) -> Iterator[tuple[Mapping[str, list[Point]], bool]]:
    """Every method's points in the format asked for; and, if that is not all there are, in whichever is its own."""
    by_method: dict[Method, list[Point]] = {}
    for point in points:
        by_method.setdefault(point.method, []).append(point)
    own = {method.name: _in_own(method, mine) for method, mine in by_method.items()}
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


def _in_own(method: Method, points: Sequence[Point]) -> list[Point]:
    """In the codec that its users would take, or the first of those in which it was measured."""
    codecs = [point.codec for point in points]
    usual = method.traits.codec if method.traits is not None else ""
    codec = usual if usual in codecs else codecs[0]
    return [point for point in points if point.codec == codec]


def _at_places(
    question: Question, like: Point, honoured: frozenset[str], by_method: Mapping[str, list[Point]]
) -> Iterator[View]:
    """At the size and the rate that are asked, at one of them and the nearest of the other, at the nearest of both."""
    sizes = _nearest({point.place.size_bytes for mine in by_method.values() for point in mine}, question.size_bytes)
    rates = _nearest({point.place.rate_per_s for mine in by_method.values() for point in mine}, question.rate_per_s)
    for some_sizes, some_rates, more in (
        ([question.size_bytes], [question.rate_per_s], {"size_bytes", "rate_per_s"}),
        ([question.size_bytes], rates, {"size_bytes"}),
        (sizes, [question.rate_per_s], {"rate_per_s"}),
        (sizes, rates, set()),
    ):
        best: View | None = None
        for size_bytes, rate_per_s in product(some_sizes, some_rates):
            place = replace(like.place, size_bytes=int(size_bytes), rate_per_s=rate_per_s)
            rows = {method: row for method, mine in by_method.items() if (row := row_at(mine, place)) is not None}
            if best is None or len(rows) > len(best.rows):
                best = View(run=like.run, place=place, honoured=honoured | more, rows=rows)
            if len(rows) == len(by_method):
                break
        if best is not None:
            yield best


def _nearest(measured: set[float] | set[int], asked: float) -> list[float]:
    return sorted(measured, key=lambda value: abs(math.log(value / asked)))


def row_at(points: Sequence[Point], place: Place) -> Row | None:
    """A method at a place: as it was measured there, or on a line between places on either side; None beyond them.

    Fewer rounds than an interval takes are put on a line too, where one holds, since that has an interval.
    """
    at_rate = [point for point in points if _same(point.place.rate_per_s, place.rate_per_s)]
    at_size = [point for point in points if point.place.size_bytes == place.size_bytes]
    there = [point for point in at_rate if point in at_size]
    if there and len(there[0].trials) >= fewest():
        return _measured(there[0])
    fitted = _fitted(at_rate, place.size_bytes / KIB, lambda point: point.place.size_bytes / KIB, size_said)
    if fitted is None and not there:
        fitted = _fitted(at_size, place.rate_per_s, lambda point: point.place.rate_per_s, lambda rate: f"{rate:g}/s")
    return fitted if fitted is not None or not there else _measured(there[0])


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME_RATE)


def _measured(point: Point) -> Row:
    return Row(
        method=point.method,
        codec=point.codec,
        metrics={metric: median_of(point.trials[metric].dropna()) for metric in METRICS},
        orders=point.orders,
        cell=point.cell,
        trials=point.trials,
    )


def _fitted(
    points: Sequence[Point], at: float, where: Callable[[Point], float], said: Callable[[float], str]
) -> Row | None:
    """On a line through the next two places on either side, or the next one where that line bends.

    What was measured there counts as a place. None at either end and beyond, and where even the short line bends.
    """
    here = [point for point in points if where(point) == at]
    below = sorted((point for point in points if where(point) < at), key=where)
    above = sorted((point for point in points if where(point) > at), key=where)
    if not below or not above:
        return None
    for reach in (1,) if here else (2, 1):
        through = [*below[-reach:], *here, *above[:reach]]
        metrics = {metric: _on_line(through, metric, at, where) for metric in METRICS}
        if metrics[HEADLINE].value is not None:
            first = through[0]
            return Row(
                method=first.method,
                codec=first.codec,
                metrics=metrics,
                orders={order: sum(point.orders[order] for point in through) for order in ORDERS},
                line=", ".join(said(where(point)) for point in through),
            )
    return None


def _on_line(through: Sequence[Point], metric: str, at: float, where: Callable[[Point], float]) -> Estimate:
    """What the line has at this place: its intercept when places are counted from there."""
    values = [
        (where(point) - at, value, round_)
        for point in through
        for round_, value in point.trials[metric].dropna().items()
    ]
    places, numbers, rounds = zip(*values, strict=True) if values else ((), (), ())
    found = line(places, numbers, rounds).intercept
    if found.reason:
        return Estimate(None, None, None, None, found.n, f"no line holds: {found.reason}")
    return found


def size_said(kib: float) -> str:
    """Of KiB, in the words of a profile: 200B, 1KiB, 1MiB."""
    size_bytes = round(kib * KIB)
    for unit, name in ((KIB**2, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.4g}{name}"
    return f"{size_bytes}B"
