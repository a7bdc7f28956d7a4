"""Finds cells whose responses rise or fall through a set, beside the other cells: a machine that slows is no trend."""

import math
from collections.abc import Iterable, Mapping
from statistics import median

from bench.load.sets.protocol import SliceReport
from bench.stats.trend import Slope, fit_slope
from bench.trial.validity import MAX_TREND, TREND_CONFIDENCE

MIN_SLICES = 4
"""Of a cell, from which a trend is told."""


def find_set_trends(slices: Iterable[SliceReport]) -> dict[int, float]:
    """Returns by cell the change of its median completion over the set, for those that surely doubled or halved.

    The change is a factor. It has to be that large in the cell's own medians as well as in their ratio to the median of
    the other cells' in slices of the same number: of two cells of which one rises, the other falls beside it.
    """
    by_cell: dict[int, dict[int, float]] = {}
    for one in slices:
        if one.finish_p50_us:
            by_cell.setdefault(one.cell, {})[one.number] = math.log(one.finish_p50_us)
    found = {}
    for cell, own in by_cell.items():
        change = beside = _measure_sure_change(own)
        if len(by_cell) > 1:
            others = {number: _median_of_others(by_cell, cell, number) for number in own}
            rest = {number: value - them for number, value in own.items() if (them := others[number]) is not None}
            beside = _measure_sure_change(rest)
        if change is not None and beside is not None and (change > 0) == (beside > 0):
            found[cell] = math.exp(beside)
    return found


def _median_of_others(by_cell: Mapping[int, Mapping[int, float]], cell: int, number: int) -> float | None:
    values = [one[number] for other, one in by_cell.items() if other != cell and number in one]
    return median(values) if values else None


def _measure_sure_change(by_number: Mapping[int, float]) -> float | None:
    """The change of the logarithm over all slices, if all of its interval is a doubling or halving; else None."""
    if len(by_number) < MIN_SLICES:
        return None
    values = [by_number[number] for number in sorted(by_number)]
    slope: Slope = fit_slope(values, TREND_CONFIDENCE)
    steps, allowed = len(values) - 1, math.log1p(MAX_TREND)
    if slope.low * steps > allowed or slope.high * steps < -allowed:
        return slope.per_window * steps
    return None
