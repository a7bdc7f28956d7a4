"""Draws every trial, or every cell of every set, as a dot: its ratio to its cell's median."""

import math
from collections.abc import Iterator, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.results.repeats import name_repeat
from bench.stats.effects import find_common_value
from bench.stats.summary import select_shown_trials

NAME, METRIC = "trials", "finish_p50_us"
COLUMNS = ("cell", "round", "slot", "finish_p50_ms", "of_median", "valid")


def draw_charts(trials: pd.DataFrame, *, in_sets: bool = False) -> Iterator[Chart]:
    """Yields the chart "trials"; none where no trial has a median completion. ``in_sets``: it was played in sets."""
    drawn = divide_by_cell_median(trials)
    if drawn.empty:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, in_sets)
    yield Chart(
        name=NAME,
        heading=f"Every {name_repeat('trial', in_sets=in_sets)}",
        says=_describe(drawn, in_sets),
        figure=figure,
        columns=COLUMNS,
        rows=list(_csv_rows(drawn)),
    )


def _csv_rows(drawn: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for row in drawn.to_dict("records"):
        times = (format_csv_number(row[METRIC] / 1000), format_csv_number(row["of_median"]))
        yield (row["cell"], row["round"], row["slot"], *times, str(row["valid"]).lower())


def divide_by_cell_median(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns trials in measured order, with completion relative to their cell's median as ``of_median``."""
    there = trials[trials[METRIC].notna() & (trials["planned"] > 0)]
    middles = {cell: select_shown_trials(rows)[METRIC].median() for cell, rows in there.groupby("cell", sort=False)}
    middle = there["cell"].map(middles)
    kept = there[middle.notna() & (middle < math.inf)]
    kept = kept.assign(of_median=kept[METRIC] / kept["cell"].map(middles))
    return kept.sort_values(["round", "slot"], kind="stable").reset_index(drop=True)


def _draw_figure(drawn: pd.DataFrame, in_sets: bool) -> Figure:
    transports = list(dict.fromkeys(drawn.sort_values("slot")["transport"]))
    known = [name for name in style.COLOURS if name in transports]
    transports = known + [name for name in transports if name not in known]
    figure = style.create_figure(9, 0.9 + 1.25 * len(transports))
    panels: Sequence[Axes] = list(figure.subplots(len(transports), 1, sharex=True, sharey=True, squeeze=False).flat)
    slots = int(drawn["slot"].max())
    finite = [value for value in drawn["of_median"] if 0 < value < math.inf]
    far = max(1.3, *(max(value, 1 / value) for value in finite)) * 1.1
    for axes, transport in zip(panels, transports, strict=True):
        rows = drawn[drawn["transport"] == transport]
        style.style_panel(axes, style.format_method_name(transport, find_common_value(rows, "product")))
        axes.set_yscale("log")
        style.set_ratio_scale(axes.yaxis, finite)
        axes.set_ylim(1 / far, far)
        axes.axhline(1, color=style.MUTED, linewidth=1)
        for valid, of in rows.groupby("valid"):
            axes.plot(
                of["round"] + (of["slot"] - 1) / slots,
                of["of_median"].clip(upper=far),
                marker=style.marker(transport),
                color=style.colour(transport),
                markerfacecolor=style.colour(transport) if valid else "white",
                markersize=4,
                alpha=0.75 if valid else 1.0,
                linestyle="none",
                clip_on=False,
            )
    panels[-1].set_xlim(0.5, int(drawn["round"].max()) + 1)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    within = "its cells side by side" if in_sets else "the order in which its cells were measured"
    panels[-1].set_xlabel(f"{name_repeat('round', in_sets=in_sets)}, and within it {within}", fontsize=9)
    figure.supylabel("median completion, times its cell's median (log)", fontsize=9)
    each = "A dot for each cell and set" if in_sets else f"{len(drawn):,} trials"
    style.add_caption(figure, f"{each}. Hollow: invalid, left out of every other number.")
    return figure


def _describe(drawn: pd.DataFrame, in_sets: bool) -> str:
    near = float(((drawn["of_median"] < 1.1) & (drawn["of_median"] > 1 / 1.1)).mean())
    each = "numbers, one for each cell and set," if in_sets else "trials"
    return f"{near:.0%} of {len(drawn):,} {each} lie within a tenth of their cell's median."
