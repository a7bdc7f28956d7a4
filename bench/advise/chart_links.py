"""The chart behind a claim: one that draws the very number, else none."""

import csv
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.advise.evidence import HEADLINE

CAPACITY, SLOPE = "capacity", "a KiB more"
DRAWN: Mapping[str, Sequence[tuple[str, frozenset[str]]]] = {
    HEADLINE: (("latency", frozenset({"finish", "p50", "median"})), ("curve", frozenset({"p50"}))),
    "finish_p99_us": (("latency", frozenset({"finish", "p99", "median"})), ("curve", frozenset({"p99"}))),
    "accept_p50_us": (("latency", frozenset({"accept", "p50", "median"})),),
    "wire_bytes_per_order": (("costs", frozenset({"wire_bytes_per_order"})),),
    CAPACITY: (("curve", frozenset({"capacity"})),),
    SLOPE: (("size", frozenset({HEADLINE})),),
}
"""By what a claim is about, the charts that may draw its number, and the words of such a row."""
DIGITS = 5e-6
"""Half of the last of a chart's six, relative."""

Rows = Iterable[Sequence[object]]
Lookup = Callable[[str, str], tuple[str, Rows]]
"""From the names of a run and of a chart to where that is for a reader, and its rows; no rows where there is none."""


def nowhere(run: str, chart: str) -> tuple[str, Rows]:
    """The lookup of whoever has no chart."""
    return "", ()


def on_page(drawn: Mapping[str, Rows], several: bool) -> Lookup:
    """Among the charts of a page, which begin with the run's name where it has several: where is the name there."""

    def look(run: str, chart: str) -> tuple[str, Rows]:
        name = f"{run}-{chart}" if several else chart
        return name, drawn.get(name, ())

    return look


def in_folders(folders: Mapping[str, Path]) -> Lookup:
    """Beside each run, or beside the report over all runs that are kept: where is a path from here."""

    @cache
    def look(run: str, chart: str) -> tuple[str, Rows]:
        folder = folders[run]
        own = folder / "charts" / f"{chart}.csv"
        path = own if own.is_file() else folder.parent / "report" / "charts" / f"{folder.name}-{chart}.csv"
        return os.path.relpath(path), rows_of(path)

    return look


def rows_of(path: Path) -> list[list[str]]:
    """Of a CSV file; none of one that is not there, or is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def chart_of(look: Lookup, run: str, subject: str, who: str, value: float) -> str:
    """Where a chart draws this value of ``who``, a cell or a transport; empty where none does."""
    for chart, words in DRAWN.get(subject, ()):
        where, rows = look(run, chart)
        if holds(rows, {who, *words}, value):
            return where
    return ""


def holds(rows: Rows, words: set[str], value: float) -> bool:
    """Whether one of these rows has all the words, and the value as far as it is written."""
    return any(words <= {str(one) for one in row} and any(_is(one, value) for one in row) for row in rows)


def _is(written: object, value: float) -> bool:
    try:
        return math.isclose(float(str(written)), value, rel_tol=DIGITS)
    except ValueError:
        return False
