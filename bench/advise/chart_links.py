"""Finds the chart that draws a claim's number, if there is one."""

import csv
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.advise.evidence import HEADLINE

CAPACITY_SUBJECT, SLOPE_SUBJECT = "capacity", "a KiB more"
CHARTS_BY_SUBJECT: Mapping[str, Sequence[tuple[str, frozenset[str]]]] = {
    HEADLINE: (("latency", frozenset({"finish", "p50", "median"})), ("curve", frozenset({"p50"}))),
    "finish_p99_us": (("latency", frozenset({"finish", "p99", "median"})), ("curve", frozenset({"p99"}))),
    "accept_p50_us": (("latency", frozenset({"accept", "p50", "median"})),),
    "wire_bytes_per_order": (("costs", frozenset({"wire_bytes_per_order"})),),
    CAPACITY_SUBJECT: (("curve", frozenset({"capacity"})),),
    SLOPE_SUBJECT: (("size", frozenset({HEADLINE})),),
}
"""For each subject of a claim, the charts that may draw its number, and the words of their rows."""
RELATIVE_TOLERANCE = 5e-6
"""Half a unit of the last of a chart's six digits, relative."""

ChartRows = Iterable[Sequence[object]]
ChartLookup = Callable[[str, str], tuple[str, ChartRows]]
"""Takes the names of a run and a chart; returns the chart's place for a reader, and its rows if there are any."""


def find_no_chart(run: str, chart: str) -> tuple[str, ChartRows]:
    """Looks up no chart: returns an empty place and no rows."""
    return "", ()


def look_up_on_page(drawn: Mapping[str, ChartRows], several: bool) -> ChartLookup:
    """Returns a lookup among the charts of a page, ``drawn`` by name; with several runs a name begins with its run."""

    def look(run: str, chart: str) -> tuple[str, ChartRows]:
        name = f"{run}-{chart}" if several else chart
        return name, drawn.get(name, ())

    return look


def look_up_in_folders(folders: Mapping[str, Path]) -> ChartLookup:
    """Returns a lookup in each run's own charts, else in the report over all kept runs; places are paths from here."""

    @cache
    def look(run: str, chart: str) -> tuple[str, ChartRows]:
        folder = folders[run]
        own = folder / "charts" / f"{chart}.csv"
        path = own if own.is_file() else folder.parent / "report" / "charts" / f"{folder.name}-{chart}.csv"
        return os.path.relpath(path), read_csv_rows(path)

    return look


def read_csv_rows(path: Path) -> list[list[str]]:
    """Returns the rows of a CSV file; none when it is missing or cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def find_chart(look: ChartLookup, run: str, subject: str, who: str, value: float) -> str:
    """Returns where a chart draws this value of ``who``, a cell or a transport; empty when none does."""
    for chart, words in CHARTS_BY_SUBJECT.get(subject, ()):
        where, rows = look(run, chart)
        if contains_value(rows, {who, *words}, value):
            return where
    return ""


def contains_value(rows: ChartRows, words: set[str], value: float) -> bool:
    """Tells whether one row has all the words and the value, as precisely as it is written."""
    return any(words <= {str(one) for one in row} and any(_is_close(one, value) for one in row) for row in rows)


def _is_close(written: object, value: float) -> bool:
    try:
        return math.isclose(float(str(written)), value, rel_tol=RELATIVE_TOLERANCE)
    except ValueError:
        return False
