"""What a ratio's interval lets one say, and which cell is the best of several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.report.formatting import as_number
from bench.stats.equivalence import Verdict, verdict
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio
from bench.stats.summary import ALIKE, OWN, is_valid

BEST, TIE = "best", "tie"


def estimate_of(metric: Mapping[str, Any]) -> Estimate:
    """Of summary.json, where "inf" stands for a censored number."""
    value, low, high = (None if metric[end] is None else as_number(metric[end]) for end in ("estimate", "low", "high"))
    return Estimate(value, low, high, metric.get("coverage"), metric["n"], metric["reason"])


def counted(metric: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """An estimate, or None of one that is not known or is 0: bytes of connections that are gone were not counted."""
    return None if metric is None or metric["estimate"] in (None, 0) else metric


def in_words(ratio: Estimate) -> str:
    """What a reader may take from a ratio; an interval that leaves 1 out and reaches into the band says both."""
    if ratio.low is None or ratio.high is None:
        return f"no interval from {ratio.n} {'round' if ratio.n == 1 else 'rounds'}, so no difference shown"
    found = verdict(ratio)
    if found is Verdict.OPEN and not ratio.low <= 1 <= ratio.high:
        return f"{'more' if ratio.low > 1 else 'less'}, perhaps by less than a tenth"
    return str(found)


def best(trials: pd.DataFrame, metric: str) -> dict[str, str]:
    """By cell "best" or "tie", where less is better; among cells that are alike but for their method.

    Best is the least median if every other cell's ratio to it, over paired rounds, is shown to lie beyond the band of
    no practical difference; else it ties with those of which that is not shown. Where too few rounds give no interval
    nothing is said. INVALID cells take no part.
    """
    found: dict[str, str] = {}
    if metric not in trials or trials.empty:
        return found
    in_valid_cells = trials.groupby("cell", sort=False).filter(is_valid)
    valid = in_valid_cells[in_valid_cells["valid"]] if len(in_valid_cells) else in_valid_cells
    alike = [name for name in (*ALIKE, *OWN) if name in valid]
    for _, group in valid.groupby(alike, sort=False):
        by_cell = {str(cell): _by_round(rows, metric) for cell, rows in group.groupby("cell", sort=False)}
        medians = {cell: float(values.median()) for cell, values in by_cell.items() if len(values)}
        least = min(medians.values(), default=math.inf)
        if len(medians) < 2 or math.isinf(least):
            continue
        leader = next(cell for cell, value in medians.items() if value == least)
        ratios = {cell: _ratio(by_cell[cell], by_cell[leader]) for cell in medians if cell != leader}
        told = {cell: verdict(ratio) for cell, ratio in ratios.items() if ratio.low is not None}
        if tied := [cell for cell, said in told.items() if said is not Verdict.MORE]:
            found |= dict.fromkeys((leader, *tied), TIE)
        elif len(told) == len(ratios):
            found[leader] = BEST
    return found


def _by_round(rows: pd.DataFrame, metric: str) -> "pd.Series[Any]":
    values = rows.drop_duplicates("round").set_index("round")[metric].dropna()
    return values[values > 0]


def _ratio(other: "pd.Series[Any]", leader: "pd.Series[Any]") -> Estimate:
    both = pd.concat([other, leader], axis=1, join="inner", keys=["other", "leader"])
    return paired_ratio(list(both["other"]), list(both["leader"]))


def finite(metrics: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Every number of these estimates and their ends that can be drawn on a log axis."""
    for metric in metrics:
        for end in ("estimate", "low", "high"):
            if metric[end] is not None and 0 < (value := as_number(metric[end])) < math.inf:
                yield value
