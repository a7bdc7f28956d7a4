"""Describes ratios in words, and marks which of several cells is best."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.report.formatting import format_number, parse_number
from bench.results.analysis import like_columns, optional_like_columns
from bench.results.repeats import count_repeats
from bench.stats.equivalence import Verdict, classify_ratio
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio
from bench.stats.summary import RunStatistics, is_cell_valid

BEST, TIE = "best", "tie"


def parse_estimate(metric: Mapping[str, Any]) -> Estimate:
    """Returns a metric of summary.json as an Estimate; "inf" there stands for a censored number."""
    value, low, high = (
        None if metric[end] is None else parse_number(metric[end]) for end in ("estimate", "low", "high")
    )
    return Estimate(value, low, high, metric.get("coverage"), metric["n"], metric["reason"])


def nonzero_or_none(metric: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Returns the metric, or None when its estimate is unknown or 0.

    Bytes are 0 where connections were gone before they were counted.
    """
    return None if metric is None or metric["estimate"] in (None, 0) else metric


def describe_ratio(ratio: Estimate, *, in_sets: bool = False) -> str:
    """Describes what a ratio shows, of rounds or of sets.

    An interval that excludes 1 and reaches into the band of no practical difference is said to do both.
    """
    if ratio.low is None or ratio.high is None:
        return f"no interval from {count_repeats(ratio.n, 'round', in_sets=in_sets)}, so no difference shown"
    found = classify_ratio(ratio)
    if found is Verdict.OPEN and not ratio.low <= 1 <= ratio.high:
        return f"{'more' if ratio.low > 1 else 'less'}, perhaps by less than a tenth"
    return str(found)


def has_sets(summary: Mapping[str, Any]) -> bool:
    """Returns whether a summary is of a run in sets."""
    return "intervals" in summary


def describe_sets(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Returns sentences on a run in sets: its intervals, why it ended, its yardstick; none of whole trials."""
    if not has_sets(summary):
        return []
    p99 = "p99 is told from the orders of all sets together, its interval by leaving out one set at a time."
    ended = manifest.get("ended")
    return [f"{summary['intervals']}. {p99}", *([f"The run {ended}."] if ended else []), *_describe_yardstick(summary)]


def _describe_yardstick(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields a sentence for each bare chain of the run, with the methods that are held against it."""
    of_base: dict[str, list[str]] = {}
    for ratio in summary.get("yardstick_ratios", ()):
        metric = ratio["metrics"].get("finish_p50_us")
        if metric is None or metric["estimate"] is None:
            continue
        ends = ""
        if metric["low"] is not None:
            ends = f" ({_format_end(metric['low'])} to {_format_end(metric['high'])})"
        of_base.setdefault(ratio["base"], []).append(f"{ratio['cell']} {_format_end(metric['estimate'])}{ends}")
    for base, said in of_base.items():
        yield (
            f"The yardstick {base} passes bytes through four processes: it has no shop and no store, and the same load "
            f"in every run. A median order takes so many times as long as there: {', '.join(said)}."
        )


def _format_end(value: Any) -> str:
    return format_number(parse_number(value))


def mark_best_cells(trials: pd.DataFrame, metric: str, statistics: RunStatistics | None = None) -> dict[str, str]:
    """Returns "best" or "tie" by cell, where less is better, among cells that differ in their method alone.

    The cell with the least median is best if every other cell's ratio to it, over paired rounds, is shown to lie beyond
    the band of no practical difference; else it ties with those of which that is not shown. Where too few rounds give
    no interval nothing is returned. INVALID cells take no part. With ``statistics``, of a run in sets, ratios are
    theirs, and so is a number that is told from all sets together.
    """
    found: dict[str, str] = {}
    if metric not in trials or trials.empty:
        return found
    in_valid_cells = trials.groupby("cell", sort=False).filter(is_cell_valid)
    valid = in_valid_cells[in_valid_cells["valid"]] if len(in_valid_cells) else in_valid_cells
    alike = [name for name in (*like_columns(), *optional_like_columns()) if name in valid]
    for _, group in valid.groupby(alike, sort=False):
        by_cell = {str(cell): _values_by_round(rows, metric) for cell, rows in group.groupby("cell", sort=False)}
        medians = {cell: float(values.median()) for cell, values in by_cell.items() if len(values)}
        if statistics is not None:
            whole = {cell: statistics.estimate_whole(metric, cell) for cell in by_cell}
            medians |= {cell: one.value for cell, one in whole.items() if one is not None and one.value is not None}
        least = min(medians.values(), default=math.inf)
        if len(medians) < 2 or math.isinf(least):
            continue
        leader = next(cell for cell, value in medians.items() if value == least)
        ratios = {
            cell: _ratio_to_leader(by_cell[cell], by_cell[leader])
            if statistics is None
            else statistics.ratio(metric, cell, leader)
            for cell in medians
            if cell != leader
        }
        told = {cell: classify_ratio(ratio) for cell, ratio in ratios.items() if ratio.low is not None}
        if tied := [cell for cell, said in told.items() if said is not Verdict.MORE]:
            found |= dict.fromkeys((leader, *tied), TIE)
        elif len(told) == len(ratios):
            found[leader] = BEST
    return found


def _values_by_round(rows: pd.DataFrame, metric: str) -> "pd.Series[Any]":
    values = rows.drop_duplicates("round").set_index("round")[metric].dropna()
    return values[values > 0]


def _ratio_to_leader(other: "pd.Series[Any]", leader: "pd.Series[Any]") -> Estimate:
    both = pd.concat([other, leader], axis=1, join="inner", keys=["other", "leader"])
    return paired_ratio(list(both["other"]), list(both["leader"]))


def find_drawable_numbers(metrics: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Yields the estimates of these metrics, and the ends of their intervals, that can be drawn on a log axis."""
    for metric in metrics:
        for end in ("estimate", "low", "high"):
            if metric[end] is not None and 0 < (value := parse_number(metric[end])) < math.inf:
                yield value
