"""Every use that was measured as a whole, with its answers: what the form of a page filters, offline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.advise.evidence import HEADLINE, Evidence, Place, Point
from bench.advise.method import Method
from bench.advise.nearest import AXES, Row, View, in_format, row_at, side_by_side
from bench.advise.needs import NEEDS
from bench.advise.ranking import behind_of, said
from bench.report.formatting import estimated
from bench.stats.intervals import fewest

FORM, SCRIPT = (Path(__file__).with_name(f"chooser.{kind}") for kind in ("html", "js"))
"""A Jinja2 fragment that takes what ``form`` gives, and the script that filters its table; it is complete without."""
LABELS: Mapping[str, str] = {
    "size_bytes": "Size of an order",
    "shape": "Shape of its content",
    "format": "Format",
    "rate_per_s": "Orders a second",
    "burst": "Bursts, times the rate",
    "security": "Security",
    "durability": "Durability",
}
"""Of what a form asks for, by AXES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of a method among others."""

    place: int
    """Among all of them; among those that are left, one more than there are left of ``behind``."""
    behind: tuple[str, ...]
    """The methods that are shown to be ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method in a format; numbers as they are read."""

    method: str
    name: str
    """How people know it."""
    codec: str
    own: Standing | None
    """Among all methods, each in its own format, which is what whoever asks for no format has; None in another one."""
    alike: Standing
    """Among the methods in this format."""
    finish_p50_ms: str
    accept_p50_ms: str
    finish_p99_ms: str
    cpu_us_per_order: str
    wire_bytes_per_order: str
    failed: int
    lost: int
    line: str
    """Through which places, where it lies on a line."""
    needs: tuple[str, ...]
    """The words of NEEDS= that the method meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was measured side by side at one place."""

    run: str
    at: Mapping[str, str]
    """The levels of all AXES but the format."""
    lines: tuple[Line, ...]


def table(evidence: Evidence) -> list[Use]:
    """Every place at which a method was measured, with the methods that were measured there or on both sides of it.

    Those of too few rounds for an interval come last.
    """
    found: list[tuple[bool, Use]] = []
    for points in side_by_side(evidence.points):
        places = {(point.place.size_bytes, point.place.rate_per_s): point.place for point in points}
        for _, place in sorted(places.items()):
            lines = sorted(_lines(points, place), key=_order)
            at = {axis: said(axis, getattr(place, axis)) for axis in AXES if axis != "format"}
            rounds = min((len(point.trials) for point in points if point.place == place), default=0)
            found.append((rounds < fewest(), Use(run=points[0].run, at=at, lines=tuple(lines))))
    return [use for _, use in sorted(found, key=lambda one: one[0])]


def form(evidence: Evidence) -> Mapping[str, Any]:
    """What the fragment takes: ``uses``, the levels of each axis that has several, and the needs with their words."""
    uses = table(evidence)
    levels = {axis: list(dict.fromkeys(use.at[axis] for use in uses)) for axis in AXES if axis != "format"}
    for axis in ("size_bytes", "rate_per_s", "burst"):
        numbers = {said(axis, number): number for point in evidence.points for number in [getattr(point.place, axis)]}
        levels[axis].sort(key=numbers.__getitem__)
    levels["format"] = [said("format", None), *sorted({line.codec for use in uses for line in use.lines})]
    return {
        "uses": uses,
        "levels": {axis: levels[axis] for axis in AXES if len(levels[axis]) > 1},
        "labels": LABELS,
        "needs": {word: need.has for word, need in NEEDS.items()},
        "machines": evidence.machines,
    }


def _lines(points: Sequence[Point], place: Place) -> Iterator[Line]:
    own = _view(points, place, None)
    of_own = _standings(own)
    for codec in sorted({point.codec for point in points}):
        view = _view(points, place, codec)
        for name, alike in _standings(view).items():
            row, mine = view.rows[name], own.rows.get(name)
            yield Line(
                method=name,
                name=row.method.title,
                codec=codec,
                own=of_own[name] if mine is not None and mine.codec == codec else None,
                alike=alike,
                **_numbers(row),
                failed=row.orders["failed"] + row.orders["unfinished"],
                lost=row.orders["lost"],
                line=row.line,
                needs=tuple(_needs(row.method, place.durability)),
            )


def _view(points: Sequence[Point], place: Place, asked_format: str | None) -> View:
    by_method, _ = next(in_format(points, asked_format))
    rows = {name: row for name, mine in by_method.items() if (row := row_at(mine, place)) is not None}
    return View(run=points[0].run, place=place, honoured=frozenset(AXES), rows=rows)


def _standings(view: View) -> Mapping[str, Standing]:
    methods = list(view.rows)
    behind = {method: behind_of(method, methods, [view], {}) for method in methods}
    return {method: Standing(place=1 + len(ahead), behind=tuple(sorted(ahead))) for method, ahead in behind.items()}


def _order(line: Line) -> tuple[Any, ...]:
    """Each in its own format first; then format by format."""
    return (0, line.own.place) if line.own is not None else (1, line.codec, line.alike.place)


def _numbers(row: Row) -> dict[str, str]:
    milliseconds = {"finish_p50_ms": HEADLINE, "accept_p50_ms": "accept_p50_us", "finish_p99_ms": "finish_p99_us"}
    return {
        **{name: estimated(row.metrics[metric], 1000.0) for name, metric in milliseconds.items()},
        **{name: estimated(row.metrics[name]) for name in ("cpu_us_per_order", "wire_bytes_per_order")},
    }


def _needs(method: Method, durability: str) -> Iterator[str]:
    for word, need in NEEDS.items():
        if method.traits is not None and need.met(method.traits, "safe" if durability == "safe" else "fast"):
            yield word
