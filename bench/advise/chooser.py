"""Builds the table of measured uses that the form of the report page filters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.advise.evidence import HEADLINE, Conditions, Evidence, Measurement
from bench.advise.method import Method
from bench.advise.nearest import AXES, ComparedMethod, MethodComparison, estimate_at, group_side_by_side, select_format
from bench.advise.needs import NEEDS
from bench.advise.ranking import find_methods_ahead, format_level
from bench.report.formatting import format_estimate

FORM_PATH, SCRIPT_PATH = (Path(__file__).with_name(f"chooser.{kind}") for kind in ("html", "js"))
"""A Jinja2 fragment that takes what ``form`` gives, and the script that filters its table; it is complete without."""
FIELD_LABELS: Mapping[str, str] = {
    "size_bytes": "Size of an order",
    "shape": "Shape of its content",
    "format": "Format",
    "rate_per_s": "Orders a second",
    "burst": "Bursts, times the rate",
    "security": "Security",
    "durability": "Durability",
}
"""The labels of the form's fields, by AXES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRank:
    """The rank of a method among others."""

    place: int
    """The place among all; among a subset, one more than the number of methods of ``behind`` in it."""
    behind: tuple[str, ...]
    """The methods that are shown to be ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooserRow:
    """A method in one format, with its numbers as text."""

    method: str
    name: str
    """The name for people."""
    codec: str
    own: MethodRank | None
    """The rank among all methods, each in its own format, for a use without a format; None in another format."""
    alike: MethodRank
    """Among the methods in this format."""
    finish_p50_ms: str
    accept_p50_ms: str
    finish_p99_ms: str
    cpu_us_per_order: str
    wire_bytes_per_order: str
    failed: int
    lost: int
    line: str
    """The places through which the line goes, for a number on a line."""
    needs: tuple[str, ...]
    """The words of NEEDS= that the method meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredUse:
    """The methods that were measured side by side at one set of conditions."""

    run: str
    at: Mapping[str, str]
    """The levels of all AXES but the format."""
    lines: tuple[ChooserRow, ...]


def build_chooser_table(evidence: Evidence) -> list[MeasuredUse]:
    """Returns every place where methods were measured, with those measured there or on both sides of it.

    Places with too few rounds for an interval come last.
    """
    found: list[tuple[bool, MeasuredUse]] = []
    for points in group_side_by_side(evidence.points):
        places = {(point.place.size_bytes, point.place.rate_per_s): point.place for point in points}
        for _, place in sorted(places.items()):
            lines = sorted(_build_rows(points, place), key=_sort_key)
            at = {axis: format_level(axis, getattr(place, axis)) for axis in AXES if axis != "format"}
            here = [point for point in points if point.place == place]
            short = not here or not all(point.has_interval for point in here)
            found.append((short, MeasuredUse(run=points[0].run, at=at, lines=tuple(lines))))
    return [use for _, use in sorted(found, key=lambda one: one[0])]


def build_form_context(evidence: Evidence) -> Mapping[str, Any]:
    """Returns what the template takes: ``uses``, the levels of each axis that has several, and the needs."""
    uses = build_chooser_table(evidence)
    levels = {axis: list(dict.fromkeys(use.at[axis] for use in uses)) for axis in AXES if axis != "format"}
    for axis in ("size_bytes", "rate_per_s", "burst"):
        numbers = {
            format_level(axis, number): number for point in evidence.points for number in [getattr(point.place, axis)]
        }
        levels[axis].sort(key=numbers.__getitem__)
    levels["format"] = [format_level("format", None), *sorted({line.codec for use in uses for line in use.lines})]
    return {
        "uses": uses,
        "levels": {axis: levels[axis] for axis in AXES if len(levels[axis]) > 1},
        "labels": FIELD_LABELS,
        "needs": {word: need.has for word, need in NEEDS.items()},
        "machines": evidence.machines,
    }


def _build_rows(points: Sequence[Measurement], place: Conditions) -> Iterator[ChooserRow]:
    own = _compare_methods(points, place, None)
    of_own = _rank_methods(own)
    for codec in sorted({point.codec for point in points}):
        view = _compare_methods(points, place, codec)
        for name, alike in _rank_methods(view).items():
            row, mine = view.rows[name], own.rows.get(name)
            yield ChooserRow(
                method=name,
                name=row.method.title,
                codec=codec,
                own=of_own[name] if mine is not None and mine.codec == codec else None,
                alike=alike,
                **_format_numbers(row),
                failed=row.orders["failed"] + row.orders["unfinished"],
                lost=row.orders["lost"],
                line=row.line,
                needs=tuple(_find_needs(row.method, place.durability)),
            )


def _compare_methods(points: Sequence[Measurement], place: Conditions, asked_format: str | None) -> MethodComparison:
    by_method, _ = next(select_format(points, asked_format))
    rows = {name: row for name, mine in by_method.items() if (row := estimate_at(mine, place)) is not None}
    first = points[0]
    return MethodComparison(
        run=first.run, place=place, matched_axes=frozenset(AXES), rows=rows, in_sets=first.sets is not None
    )


def _rank_methods(view: MethodComparison) -> Mapping[str, MethodRank]:
    methods = list(view.rows)
    behind = {method: find_methods_ahead(method, methods, [view], {}) for method in methods}
    return {method: MethodRank(place=1 + len(ahead), behind=tuple(sorted(ahead))) for method, ahead in behind.items()}


def _sort_key(line: ChooserRow) -> tuple[Any, ...]:
    """Returns the sort key: methods in their own format first, then format by format."""
    return (0, line.own.place) if line.own is not None else (1, line.codec, line.alike.place)


def _format_numbers(row: ComparedMethod) -> dict[str, str]:
    milliseconds = {"finish_p50_ms": HEADLINE, "accept_p50_ms": "accept_p50_us", "finish_p99_ms": "finish_p99_us"}
    return {
        **{name: format_estimate(row.metrics[metric], 1000.0) for name, metric in milliseconds.items()},
        **{name: format_estimate(row.metrics[name]) for name in ("cpu_us_per_order", "wire_bytes_per_order")},
    }


def _find_needs(method: Method, durability: str) -> Iterator[str]:
    for word, need in NEEDS.items():
        if method.traits is not None and need.met(method.traits, "safe" if durability == "safe" else "fast"):
            yield word
