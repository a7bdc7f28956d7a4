"""Draws the percentile spectrum: latency over percentile, one line per method.

A line ends where a trial, or all sets together, have too few orders to tell the percentile.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number
from bench.results.leave_one_out import compute_from_all
from bench.results.rows import trial_name
from bench.stats.intervals import Estimate, estimate_median, scale_estimate
from bench.stats.jackknife import estimate_from_all
from bench.stats.quantiles import find_bucket, quantile_rank, samples_needed
from bench.stats.sets import MIN_SETS_OF_LEVEL, estimate_level
from bench.stats.summary import is_cell_valid, select_shown_trials

NAME, SERIES = "spectrum", "finish"
QUANTILES = tuple(
    Fraction(text) for text in ("1/4", "1/2", "3/4", "17/20", "9/10", "19/20", "39/40", "99/100", "199/200", "999/1000")
)
FROM_ALL_SETS = Fraction("99/100")
"""From this quantile on it is told from the orders of all sets together, as p99 is in the summary."""
MAX_PANELS, MAX_CELLS = 6, 24
COLUMNS = ("cell", "quantile", "latency_ms", "low_ms", "high_ms", "trials")


@dataclass(frozen=True, slots=True)
class SpectrumPoint:
    """A cell's latency at a quantile, in milliseconds: the median over its trials, or what its sets tell."""

    cell: str
    transport: str
    quantile: Fraction
    latency: Estimate


@dataclass(frozen=True, slots=True)
class _TrialOrders:
    """The orders of a trial, or of a cell in a set."""

    histogram: HdrHistogram
    planned: int
    finished: int


def draw_charts(
    trials: pd.DataFrame, histograms: Iterable[tuple[str, str, HdrHistogram]], *, in_sets: bool = False
) -> Iterator[Chart]:
    """Yields the chart "spectrum"; none without histograms, or for more than MAX_CELLS cells.

    ``histograms`` are ``Run.histograms("finish")``. ``in_sets``: the run was played in sets.
    """
    if not 0 < trials["cell"].nunique() <= MAX_CELLS:
        return
    drawn = list(build_points(trials, histograms, in_sets=in_sets))
    panels = _group_by_level(drawn)
    if not 0 < len(panels) <= MAX_PANELS:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, panels, _build_caption(in_sets))
    yield Chart(
        name=NAME,
        heading="Completion by percentile",
        says=_describe(drawn),
        figure=figure,
        columns=COLUMNS,
        rows=[_csv_row(point) for point in drawn],
    )


def build_points(
    trials: pd.DataFrame, histograms: Iterable[tuple[str, str, HdrHistogram]], *, in_sets: bool = False
) -> Iterator[SpectrumPoint]:
    """Yields a point per cell and quantile, for the quantiles that there are enough orders for."""
    by_trial = {trial: histogram for trial, _, histogram in histograms}
    for (cell, transport), rows in trials.groupby(["cell", "transport"], sort=False):
        found = [
            _TrialOrders(histogram, int(row["planned"]), int(row["finished"]))
            for row in select_shown_trials(rows).to_dict("records")
            if (histogram := by_trial.get(trial_name(row["round"], row["slot"], str(cell)))) is not None
        ]
        estimate = _estimate_over_sets if in_sets and is_cell_valid(rows) else _estimate_over_trials
        for quantile in QUANTILES:
            if (latency := estimate(found, quantile)) is not None:
                yield SpectrumPoint(str(cell), str(transport), quantile, latency)


def _estimate_over_trials(found: Sequence[_TrialOrders], quantile: Fraction) -> Estimate | None:
    """Returns the median in milliseconds; None where some trial has too few orders."""
    values = _list_values_ms(found, quantile)
    return estimate_median(values) if values else None


def _estimate_over_sets(found: Sequence[_TrialOrders], quantile: Fraction) -> Estimate | None:
    """Returns what the summary would say of the quantile, in milliseconds; None where all sets have too few orders.

    It is the mean over sets, with Student's t. From p99 on, and where some set has too few orders, it is told from the
    orders of all sets together, with the interval of leaving out one set at a time.
    """
    values = _list_values_ms(found, quantile)
    if values and quantile < FROM_ALL_SETS:
        return estimate_level(np.log(values)) or estimate_median(values)
    censored = [one.planned - one.finished for one in found]
    together = compute_from_all([one.histogram for one in found], censored, quantile)
    if together is None:  # of a single set, or of too few orders
        return estimate_median(values) if values else None
    return scale_estimate(estimate_from_all(together.whole, together.without), 1 / 1000)


def _list_values_ms(found: Sequence[_TrialOrders], quantile: Fraction) -> list[float]:
    """Returns the quantile of each trial; none where some trial has too few orders."""
    if any(one.planned < samples_needed(quantile) for one in found):
        return []
    return [_percentile_ms(one.histogram, quantile, one.planned) for one in found]


def _percentile_ms(histogram: HdrHistogram, quantile: Fraction, orders: int) -> float:
    index = find_bucket(cast("list[int]", histogram.counts), quantile_rank(quantile, orders))
    if index is None:
        return math.inf
    return float(histogram.get_highest_equivalent_value(histogram.get_value_from_index(index))) / 1000


def _csv_row(point: SpectrumPoint) -> tuple[object, ...]:
    ends = (point.latency.value, point.latency.low, point.latency.high)
    return (point.cell, f"{float(point.quantile):g}", *map(format_csv_number, ends), point.latency.n)


def _group_by_level(drawn: Sequence[SpectrumPoint]) -> Mapping[str, list[str]]:
    """Groups cells by the level that they share, for instance a rate: one panel each."""
    found: dict[str, list[str]] = {}
    for cell in dict.fromkeys(point.cell for point in drawn):
        found.setdefault(cell.partition("@")[2], []).append(cell)
    return found


def _draw_figure(drawn: Sequence[SpectrumPoint], panels: Mapping[str, list[str]], caption: str) -> Figure:
    columns = min(3, len(panels))
    figure = style.create_figure(9, 4.4 * math.ceil(len(panels) / columns) if columns < 2 else 4.0)
    grid = figure.subplots(math.ceil(len(panels) / columns), columns, sharex=True, sharey=True, squeeze=False)
    finite = [point.latency.value for point in drawn if point.latency.value and math.isfinite(point.latency.value)]
    low_ms, top_ms = (min(finite) / 1.3, max(finite) * 1.5) if finite else (1.0, 10.0)
    ends: list[tuple[Axes, list[tuple[float, float, str, str]]]] = []
    for axes, (level, cells) in zip(grid.flat, panels.items(), strict=False):
        style.style_panel(axes, f"at {level}" if level else "Completion", "both")
        axes.set_xscale("log")
        axes.set_yscale("log")
        style.set_log_scale(axes.yaxis)
        axes.set_ylim(low_ms, top_ms)
        axes.xaxis.set_major_locator(FixedLocator([2, 4, 10, 20, 100, 1000]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * (1 - 1 / x):.4g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("percentile (log of how rare)", fontsize=9)
        lines = [[point for point in drawn if point.cell == cell] for cell in cells]
        ends.append((axes, list(_draw_lines(axes, lines, top_ms))))
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("milliseconds from the planned time (log)", fontsize=9)
    style.add_caption(figure, caption)
    for axes, of_lines in ends:
        style.label_line_ends(axes, of_lines)
    return figure


def _draw_lines(
    axes: Axes, lines: Sequence[Sequence[SpectrumPoint]], top_ms: float
) -> Iterator[tuple[float, float, str, str]]:
    """Draws the lines; yields where each ends (x, y), its label and its colour."""
    dashes: dict[str, int] = {}
    for line in lines:
        transport = line[0].transport
        dash = dashes.setdefault(transport, -1) + 1
        dashes[transport] = dash
        x = [1 / (1 - float(point.quantile)) for point in line]
        y = [min(point.latency.value or top_ms, top_ms) for point in line]
        colour = style.colour(transport)
        axes.plot(x, y, color=colour, linestyle=style.DASHES[dash % 4], linewidth=1.6, zorder=3)
        axes.plot(x, y, color=colour, marker=style.marker(transport), markersize=4, linestyle="none", zorder=3)
        if any(point.latency.low is not None for point in line):
            low, high = ([_cut(getattr(point.latency, end), top_ms) for point in line] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
        yield x[-1], y[-1], style.format_cell_name(line[0].cell.partition("@")[0], transport), colour
    axes.set_xlim(right=max(1 / (1 - float(point.quantile)) for line in lines for point in line) * 3.2)


def _cut(value: float | None, top_ms: float) -> float:
    """Returns the end of a band; a point without one leaves a gap."""
    return math.nan if value is None else min(value, top_ms)


def _build_caption(in_sets: bool) -> str:
    if not in_sets:
        return (
            "Medians over trials; bands: 95 % intervals over trials, where there are enough. "
            "A line ends where a trial has too few orders."
        )
    return (
        f"Means over sets; from p{100 * float(FROM_ALL_SETS):g} on, and where a set has too few orders, of the "
        f"orders of all sets together.\nBands: 95 % intervals over sets, from {MIN_SETS_OF_LEVEL} on; those of all "
        "orders together hold some 90 %. A line ends where these are too few."
    )


def _describe(drawn: Sequence[SpectrumPoint]) -> str:
    parts = []
    for cell in dict.fromkeys(point.cell for point in drawn):
        last = [point for point in drawn if point.cell == cell][-1]
        said = "unknown" if last.latency.value is None else f"{format_number(last.latency.value)} ms"
        parts.append(f"{style.format_cell_name(cell, last.transport)} {said} at p{100 * float(last.quantile):.4g}")
    return f"At the highest percentile that there are orders for, orders finish in: {'; '.join(parts)}."
