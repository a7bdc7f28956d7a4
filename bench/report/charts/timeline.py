"""Draws latency around a fault or a rate step, in bins of a quarter second."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart
from bench.stats.summary import is_cell_valid

NAME = "outage"
PANELS: Mapping[str, str] = {"accept_p50_us": "Accepted", "finish_p50_us": "Finished"}
COLUMNS = ("fault", "cell", "from_s", "accept_ms", "finish_ms", "failed_share")


def draw_charts(timeline: pd.DataFrame, outages: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    """Yields the chart "outage"; none without a timeline.

    ``timeline`` is ``Run.timeline()`` and ``outages`` are a summary's.
    """
    if timeline.empty:
        return
    drawn = list(compute_timelines(timeline))
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, outages)
    said = (
        "Median acceptance and completion before, while and after a part was away or the rate was up, a row for each."
    )
    heading = "Around what happened in the middle"
    yield Chart(name=NAME, heading=heading, says=said, figure=figure, columns=COLUMNS, rows=list(_csv_rows(drawn)))


def compute_timelines(timeline: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yields fault, cell and medians over trials by time bin; infinite where half of the trials had none."""
    for (fault, cell), rows in timeline.groupby(["fault", "cell"], sort=False):
        judged = rows[rows["valid"]] if is_cell_valid(rows.drop_duplicates("round")) else rows
        by_stretch = judged.groupby("from_s").agg(
            accept_p50_us=("accept_p50_us", "median"),
            finish_p50_us=("finish_p50_us", "median"),
            planned=("planned", "sum"),
            failed=("failed", "sum"),
        )
        yield str(fault), str(cell), by_stretch


def _csv_rows(lines: Sequence[tuple[str, str, pd.DataFrame]]) -> Iterator[tuple[object, ...]]:
    for fault, cell, rows in lines:
        for from_s, row in rows.iterrows():
            times = (f"{row[name] / 1000:.6g}" for name in PANELS)
            yield (fault, cell, from_s, *times, f"{row['failed'] / row['planned']:.3g}")


def _draw_figure(lines: Sequence[tuple[str, str, pd.DataFrame]], outages: Sequence[Mapping[str, Any]]) -> Figure:
    faults = list(dict.fromkeys(fault for fault, _, _ in lines))
    figure = style.create_figure(9, 1.2 + 1.9 * len(faults))
    grid = figure.subplots(len(faults), len(PANELS), sharex=True, sharey=True, squeeze=False)
    finite = [value for _, _, rows in lines for name in PANELS for value in rows[name] if 0 < value < math.inf]
    low_ms, top_ms = min(finite, default=1000.0) / 1300, max(finite, default=10_000.0) / 600
    for place, (axes_row, fault) in enumerate(zip(grid, faults, strict=True)):
        away_s = max((_away_s(row) for row in outages if row["fault"] == fault), default=0.0)
        for axes, (metric, heading) in zip(axes_row, PANELS.items(), strict=True):
            style.style_panel(axes, "" if place else heading)
            axes.set_yscale("log")
            style.set_log_scale(axes.yaxis, (1,) if top_ms > 500 * low_ms else (1, 2, 5))
            axes.axvspan(0, away_s, color=style.RULE, zorder=0)
            axes.set_ylim(low_ms, top_ms)
            of_fault = [(cell, rows) for name, cell, rows in lines if name == fault]
            for cell, rows in of_fault:
                _draw_line(
                    axes,
                    cell,
                    fault,
                    rows[metric] / 1000,
                    top_ms,
                    _level_labels(of_fault, fault).index(_level_label(cell, fault)),
                )
        axes_row[0].set_ylabel(f"{fault}\nms (log)", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("seconds from when it began", fontsize=9)
    labelled: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            labelled.setdefault(label, handle)
    figure.legend(
        list(labelled.values()), list(labelled), loc="outside upper center", ncols=4, frameon=False, fontsize=9.5
    )
    caption = (
        "Grey: how long it lasted, the longest of the cells. "
        "At the top: half of the orders were not accepted, or not finished."
    )
    style.add_caption(figure, caption)
    return figure


def _away_s(outage: Mapping[str, Any]) -> float:
    value = outage["times"]["away_s"]["estimate"]
    return 0.0 if value is None else float(value)


def _level_label(cell: str, fault: str) -> str:
    """Returns the levels that distinguish a cell from others in the same row: retries, safe, another rate."""
    return " ".join(level for level in cell.partition("@")[2].split("_") if level not in ("", fault))


def _level_labels(lines: Sequence[tuple[str, pd.DataFrame]], fault: str) -> list[str]:
    """Returns the distinct level labels of these cells, the plain one first."""
    return sorted(dict.fromkeys(_level_label(cell, fault) for cell, _ in lines), key=bool)


def _draw_line(axes: Axes, cell: str, fault: str, times_ms: "pd.Series[float]", top_ms: float, dash: int) -> None:
    method, beside = cell.partition("@")[0], _level_label(cell, fault)
    transport = method.partition("+")[0].partition(":")[0]
    axes.plot(
        times_ms.index,
        times_ms.clip(upper=top_ms),
        color=style.colour(transport),
        linewidth=1.5,
        linestyle=style.DASHES[dash % len(style.DASHES)],
        label=" ".join(filter(None, (style.format_cell_name(method, transport), beside))),
    )
