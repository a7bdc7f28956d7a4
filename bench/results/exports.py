"""Writes a run's figures in the formats of other programs: JUnit, Bencher, github-action-benchmark, OpenMetrics.

A figure is a cell's number of one measure. A number that the run does not have, or that is censored, is left out:
none of these formats can say it.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.results.durable_files import format_json
from bench.results.measures import MEASURES, ColumnLabel, columns_used_in, label_column
from bench.results.thresholds import Standing, describe_missed

EXPORTED = (
    *("finish_p50_us", "finish_p99_us", "accept_p50_us", "accept_p99_us", "achieved_per_s"),
    *("cpu_us_per_order_services", "cpu_us_per_order_broker", "cpu_us_per_order_driver"),
    *("wire_bytes_per_order", "rss_mib_services"),
)
"""Columns of a summary; what the run lacks of them is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFigure:
    """A number with its interval, if it has one, in the column's own unit."""

    cell: str
    column: str
    value: float
    low: float | None
    high: float | None


def list_figures(summary: Mapping[str, Any]) -> Iterator[ExportedFigure]:
    """Yields the figures of a run's valid cells."""
    for cell in summary["cells"]:
        if not cell["valid"]:
            continue
        for column in EXPORTED:
            metric = cell["metrics"].get(column)
            numbers = [_to_finite(metric[end]) if metric else None for end in ("estimate", "low", "high")]
            if (value := numbers[0]) is not None:
                yield ExportedFigure(cell=cell["cell"], column=column, value=value, low=numbers[1], high=numbers[2])


def _to_finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def export_bencher(figures: Sequence[ExportedFigure]) -> str:
    """Returns Bencher Metric Format: by cell and measure a value with its lower and upper one."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in figures:
        ends = {"lower_value": figure.low, "upper_value": figure.high}
        numbers = {"value": figure.value, **{name: end for name, end in ends.items() if end is not None}}
        found.setdefault(figure.cell, {})[figure.column] = numbers
    return format_json(found)


def export_github(figures: Sequence[ExportedFigure], *, larger: bool = False) -> str:
    """Returns the list of github-action-benchmark, for customSmallerIsBetter; ``larger``: for customBiggerIsBetter."""
    larger_is_better = {column for spec in MEASURES.values() if spec.better == "higher" for column in spec.columns}
    rows = []
    for figure in figures:
        if (figure.column in larger_is_better) is not larger:
            continue
        label = _label(figure.column)
        row: dict[str, Any] = {
            "name": f"{figure.cell}: {label.heading}",
            "unit": label.unit,
            "value": figure.value / label.scale,
        }
        if figure.low is not None and figure.high is not None:
            row["range"] = f"{figure.low / label.scale:.6g} to {figure.high / label.scale:.6g}"
        rows.append(row)
    return _format_json_list(rows)


def _format_json_list(rows: Sequence[Mapping[str, Any]]) -> str:
    """Formats a list as indented JSON, with a line end."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"


def export_openmetrics(figures: Sequence[ExportedFigure], run: str) -> str:
    """Returns OpenMetrics text: a gauge for each measure, with a sample for each cell and end of its interval."""
    by_column: dict[str, list[ExportedFigure]] = {}
    for figure in figures:
        by_column.setdefault(figure.column, []).append(figure)
    lines = []
    for column, of_column in by_column.items():
        name = f"fourways_{column}"
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {_escape_text(column)}"]
        for figure in of_column:
            numbers = {"estimate": figure.value, "low": figure.low, "high": figure.high}
            for end, number in numbers.items():
                if number is not None:
                    labels = f'run="{_escape_label(run)}",cell="{_escape_label(figure.cell)}",end="{end}"'
                    lines.append(f"{name}{{{labels}}} {number:.10g}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _escape_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return _escape_text(text).replace('"', '\\"')


def export_junit(cells: Sequence[Mapping[str, Any]], standings: Sequence[Standing] = ()) -> str:
    """Returns JUnit's XML: a case for each cell, which fails where the cell is not valid, and for each limit."""
    root = ET.Element("testsuites", name="fourways")
    for cell in cells:
        suite = ET.SubElement(root, "testsuite", name=cell["cell"])
        failures = 0
        case = ET.SubElement(suite, "testcase", classname=cell["cell"], name="valid")
        if not cell["valid"]:
            failures += 1
            said = f"{cell['valid_trials']} of {cell['trials']} trials are valid"
            ET.SubElement(case, "failure", message=said)
        mine = [one for one in standings if one.cell == cell["cell"]]
        for one in mine:
            case = ET.SubElement(suite, "testcase", classname=cell["cell"], name=one.limit.typed)
            for said in describe_missed([one]):
                failures += 1
                ET.SubElement(case, "failure", message=said)
        suite.set("tests", str(1 + len(mine)))
        suite.set("failures", str(failures))
    ET.indent(root)
    text: str = ET.tostring(root, encoding="utf-8", xml_declaration=True).decode()
    return f"{text}\n"


def _label(column: str) -> ColumnLabel:
    """What is said of a column; of a metric that no trial has, its name."""
    if column in columns_used_in("summary"):
        return label_column(column)
    return ColumnLabel(column.replace("_", " "), "us" if "_us" in column else "per order", 1.0)


Export = Callable[[Sequence[ExportedFigure], str, Sequence[Mapping[str, Any]], Sequence[Standing]], str]
"""Takes the figures, the run's id, the cells of a summary, and how they stand to limits."""
FORMATS: Mapping[str, Export] = {
    "junit": lambda figures, run, cells, standings: export_junit(cells, standings),
    "bencher": lambda figures, *_: export_bencher(figures),
    "github": lambda figures, *_: export_github(figures),
    "github-larger": lambda figures, *_: export_github(figures, larger=True),
    "openmetrics": lambda figures, run, *_: export_openmetrics(figures, run),
}
"""By AS=."""
