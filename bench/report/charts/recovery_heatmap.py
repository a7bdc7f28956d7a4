"""Draws a heatmap of median completion around a fault or burst, a row per cell."""

import math
from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number

NAME = "recovery"
COLUMNS = ("fault", "cell", "from_s", "finish_ms")
MAX_ROWS = 40


def draw_charts(lines: Sequence[tuple[str, str, pd.DataFrame]]) -> Iterator[Chart]:
    """Yields the chart "recovery"; none without lines, which bench.report.charts.timeline computes."""
    finite = [float(value) / 1000 for _, _, rows in lines for value in rows["finish_p50_us"] if 0 < value < math.inf]
    if not finite or len(lines) > MAX_ROWS:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(lines, min(finite), max(finite))
    yield Chart(
        name=NAME,
        heading="Completion over time, before, while and afterwards",
        says=_describe(lines),
        figure=figure,
        columns=COLUMNS,
        rows=list(_csv_rows(lines)),
    )


def _csv_rows(lines: Sequence[tuple[str, str, pd.DataFrame]]) -> Iterator[tuple[object, ...]]:
    for fault, cell, rows in lines:
        for from_s, value in rows["finish_p50_us"].items():
            yield (fault, cell, from_s, "" if pd.isna(value) else format_csv_number(value / 1000))


def _draw_figure(lines: Sequence[tuple[str, str, pd.DataFrame]], low_ms: float, high_ms: float) -> Figure:
    faults = list(dict.fromkeys(fault for fault, _, _ in lines))
    heights = [sum(name == fault for name, _, _ in lines) for fault in faults]
    times = sorted({float(at) for _, _, rows in lines for at in rows.index})
    step_s = min(np.diff(times), default=0.25)
    figure = style.create_figure(9, 1.4 + 0.5 * len(faults) + 0.21 * len(lines))
    grid = figure.subplots(len(faults), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    scale = mpl.colormaps["cividis"].with_extremes(over=style.NEVER_COLOUR, bad=style.RULE)
    norm = LogNorm(low_ms, max(high_ms, low_ms * 1.01))
    for axes, fault in zip(grid, faults, strict=True):
        of_fault = [(cell, rows["finish_p50_us"]) for name, cell, rows in lines if name == fault]
        cells = np.array([[float(values.get(at, math.nan)) / 1000 for at in times] for _, values in of_fault])
        drawn = axes.imshow(
            np.where(np.isinf(cells), high_ms * 10, cells),
            norm=norm,
            cmap=scale,
            aspect="auto",
            interpolation="none",
            extent=(times[0], times[-1] + step_s, len(of_fault) - 0.5, -0.5),
        )
        axes.set_title(fault, loc="left", fontsize=10.5, fontweight="bold", pad=6)
        axes.axvline(0, color="white", linewidth=1)
        axes.set_yticks(range(len(of_fault)), [format_row_label(cell, fault) for cell, _ in of_fault], fontsize=9)
        axes.tick_params(axis="y", length=0)
    grid[-1].set_xlabel("seconds from when it began", fontsize=9)
    bar = figure.colorbar(drawn, ax=list(grid), extend="max", aspect=30, pad=0.02)
    bar.set_label("median completion, ms (log)", fontsize=9)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    style.add_caption(
        figure, "Medians over trials, by quarter seconds of planned time. Red: half of the orders did not finish."
    )
    return figure


def format_row_label(cell: str, fault: str) -> str:
    """Returns the method and the levels that distinguish it from other cells with the same fault."""
    method, _, levels = cell.partition("@")
    rest = " ".join(level for level in levels.split("_") if level not in ("", fault))
    return " ".join(filter(None, (style.format_cell_name(method), rest)))


def _describe(lines: Sequence[tuple[str, str, pd.DataFrame]]) -> str:
    worst = []
    for fault, cell, rows in lines:
        values = rows["finish_p50_us"].dropna()
        if len(values):
            worst.append(f"{format_row_label(cell, fault)} ({fault}) {format_number(float(values.max()) / 1000)} ms")
    return f"The longest median of a quarter second: {'; '.join(worst)}."
