"""Every question that was measured as a whole, with its answer: what the form of a page filters, offline."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.advice.advise import behind_of, said
from bench.advice.evidence import HEADLINE, Evidence, Point
from bench.advice.method import Method
from bench.advice.needs import NEEDS
from bench.advice.views import AXES, Row, View, in_format, row_at
from bench.report.numbers import digits
from bench.stats.intervals import Estimate

FORM, SCRIPT = (Path(__file__).with_name(f"form.{kind}") for kind in ("html", "js"))
"""A Jinja2 fragment that takes what ``form`` gives, and the script that filters its table; it is complete without."""
FIELDS = ("size_bytes", "shape", "format", "rate_per_s", "burst", "security", "durability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method's answer to a question; numbers as they are read."""

    question: int
    """Lines of one question have one number."""
    run: str
    size_bytes: str
    shape: str
    format: str
    """What is asked: a codec, or ``any``."""
    rate_per_s: str
    burst: str
    security: str
    durability: str
    method: str
    name: str
    codec: str
    place: int
    """Among all methods of the question; among those that are left, one more than there are of ``behind``."""
    behind: tuple[str, ...]
    """The methods that are shown to be ahead."""
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


def table(evidence: Evidence) -> list[Line]:
    """The lines of every place at which a method was measured, in each format and in any."""
    found: list[Line] = []
    for number, (asked_format, view) in enumerate(_views(evidence)):
        found += _lines(number, asked_format, view)
    return found


def form(evidence: Evidence) -> Mapping[str, Any]:
    """What the fragment takes: ``lines``, the levels of each field that has several, and the needs with their words."""
    lines = table(evidence)
    levels = {name: list(dict.fromkeys(getattr(line, name) for line in lines)) for name in FIELDS}
    return {
        "lines": lines,
        "levels": {name: some for name, some in levels.items() if len(some) > 1},
        "labels": LABELS,
        "needs": {word: need.has for word, need in NEEDS.items()},
        "machines": evidence.machines,
    }


def as_json(lines: Sequence[Line]) -> str:
    """The same lines, for whoever reads them by program."""
    return json.dumps([asdict(line) for line in lines], ensure_ascii=False)


LABELS: Mapping[str, str] = {
    "size_bytes": "Size of an order",
    "shape": "Shape of its content",
    "format": "Format",
    "rate_per_s": "Orders a second",
    "burst": "Bursts, times the rate",
    "security": "Security",
    "durability": "Durability",
}


def _views(evidence: Evidence) -> Iterator[tuple[str, View]]:
    def kind(point: Point) -> tuple[str, ...]:
        place = point.place
        return (point.run, place.shape, place.security, place.durability, f"{place.burst:g}")

    for _, group in groupby(sorted(evidence.points, key=kind), kind):
        points = list(group)
        places = {(point.place.size_bytes, point.place.rate_per_s): point.place for point in points}
        for asked_format in (None, *sorted({point.codec for point in points})):
            by_method, _ = next(in_format(points, asked_format))
            for _, place in sorted(places.items()):
                rows = {method: row for method, mine in by_method.items() if (row := row_at(mine, place)) is not None}
                if rows:
                    yield (
                        said("format", asked_format),
                        View(run=points[0].run, place=place, honoured=frozenset(AXES), rows=rows),
                    )


def _lines(number: int, asked_format: str, view: View) -> Iterator[Line]:
    methods = list(view.rows)
    behind = {method: behind_of(method, methods, [view], {}) for method in methods}
    place = view.place
    for method in sorted(methods, key=lambda method: (len(behind[method]), methods.index(method))):
        row = view.rows[method]
        yield Line(
            question=number,
            run=view.run,
            format=asked_format,
            **{name: said(name, getattr(place, name)) for name in FIELDS if name != "format"},
            method=method,
            name=row.method.title,
            codec=row.codec,
            place=1 + len(behind[method]),
            behind=tuple(sorted(behind[method])),
            **_numbers(row),
            failed=row.orders["failed"] + row.orders["unfinished"],
            lost=row.orders["lost"],
            line=row.line,
            needs=tuple(_needs(row.method, place.durability)),
        )


def _numbers(row: Row) -> dict[str, str]:
    milliseconds = {"finish_p50_ms": HEADLINE, "accept_p50_ms": "accept_p50_us", "finish_p99_ms": "finish_p99_us"}
    return {
        **{name: _number(row.metrics[metric], 1000.0) for name, metric in milliseconds.items()},
        **{name: _number(row.metrics[name], 1.0) for name in ("cpu_us_per_order", "wire_bytes_per_order")},
    }


def _number(estimate: Estimate, scale: float) -> str:
    if estimate.value is None:
        return "n/a"
    value = digits(estimate.value / scale)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({digits(estimate.low / scale)} to {digits(estimate.high / scale)})"


def _needs(method: Method, durability: str) -> Iterator[str]:
    traits = method.traits
    for word, need in NEEDS.items():
        if traits is not None and need.met(traits, "safe" if durability == "safe" else "fast"):
            yield word
