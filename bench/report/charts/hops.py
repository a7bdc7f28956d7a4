"""Draws where an order's time goes: a bar per hop, split into its parts."""

import math
from collections.abc import Iterator

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number
from bench.results.repeats import name_repeat

NAME = "hops"
PARTS = ("transfer", "wait", "handle", "store")
MAX_CELLS = 6
COLUMNS = ("cell", "stop", "service", "message", "part", "mean_ms", "trials")


def draw_charts(hops: pd.DataFrame, transports: dict[str, str], *, in_sets: bool = False) -> Iterator[Chart]:
    """Yields the chart "hops"; none without stamps, or for more than MAX_CELLS cells.

    ``hops`` is ``Run.hops()``; ``transports`` are by cell. ``in_sets``: the run was played in sets.
    """
    if not 0 < hops["cell"].nunique() <= MAX_CELLS:
        return
    drawn = compute_medians(hops)
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, transports, in_sets)
    yield Chart(
        name=NAME,
        heading="Where the time of an order goes",
        says=_describe(drawn, transports),
        figure=figure,
        columns=COLUMNS,
        rows=[(*row[:-2], format_csv_number(row[-2]), row[-1]) for row in drawn[list(COLUMNS)].values.tolist()],
    )


def compute_medians(hops: pd.DataFrame) -> pd.DataFrame:
    """Returns by cell, stop and part the mean of a trial's sampled orders in milliseconds, as median over trials."""
    stops = {message: stop for stop, message in enumerate(dict.fromkeys(hops.sort_values("number")["message"]), 1)}
    found = (
        hops.groupby(["cell", "service", "message", "part"], sort=False)
        .agg(mean_ms=("mean_us", lambda means: means.median() / 1000), trials=("mean_us", "size"))
        .reset_index()
    )
    found["stop"] = found["message"].map(stops)
    return found


def _draw_figure(drawn: pd.DataFrame, transports: dict[str, str], in_sets: bool) -> Figure:
    cells = list(dict.fromkeys(drawn["cell"]))
    columns = min(3, len(cells))
    rows = math.ceil(len(cells) / columns)
    figure = style.create_figure(10, 0.9 + 2.2 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    stops = drawn.drop_duplicates("stop").sort_values("stop")
    for axes, cell in zip(grid.flat, cells, strict=False):
        whole = drawn[drawn["cell"] == cell]
        style.style_panel(
            axes, f"{style.format_cell_name(cell, transports[cell])}: {format_number(whole['mean_ms'].sum())} ms", "x"
        )
        _draw_bars(axes, whole)
        axes.tick_params(axis="y", length=0)
    for axes in list(grid.flat)[len(cells) :]:
        axes.set_visible(False)
    for at, axes in enumerate(list(grid.flat)[: len(cells)]):
        if at + columns >= len(cells):
            axes.set_xlabel("milliseconds", fontsize=9)
            axes.tick_params(axis="x", labelbottom=True)
        axes.tick_params(axis="y", labelsize=9)
        axes.margins(x=0.06)
        axes.set_xlim(left=0)
    grid[0][0].set_yticks(list(stops["stop"]), [f"to {name}" for name in stops["service"]])
    grid[0][0].set_ylim(len(stops) + 0.6, 0.4)
    handles = [Patch(facecolor=style.COMPONENT_COLOURS[part], label=part) for part in PARTS]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(PARTS), frameon=False, fontsize=9.5)
    style.add_caption(
        figure,
        f"Means of sampled orders that shipped, medians over {name_repeat('trial', in_sets=in_sets)}s; "
        "their sum is the mean time from sent to finished.\n"
        "transfer: client library, wire and broker; wait: for the event loop, decoding, queues; store: its commit.",
    )
    return figure


def _draw_bars(axes: Axes, whole: pd.DataFrame) -> None:
    for stop in sorted(set(whole["stop"])):
        rows, left = whole[whole["stop"] == stop], 0.0
        by_part = dict(zip(rows["part"], rows["mean_ms"], strict=True))
        for part in PARTS:
            width = float(by_part.get(part, 0.0))
            axes.barh([stop], [width], left=[left], height=0.62, color=style.COMPONENT_COLOURS[part], linewidth=0)
            left += width


def _describe(drawn: pd.DataFrame, transports: dict[str, str]) -> str:
    parts: list[str] = []
    for cell, rows in drawn.groupby("cell", sort=False):
        of_part = rows.groupby("part")["mean_ms"].sum()
        most = list(of_part.sort_values(ascending=False).index[:2])
        said = " and ".join(f"{format_number(float(of_part[part]))} ms of {part}" for part in most)
        parts.append(f"{style.format_cell_name(str(cell), transports[str(cell)])} {said}")
    return f"Of the mean time of an order most is: {'; '.join(parts)}."
