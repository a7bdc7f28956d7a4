"""Draws latency against achieved rate, one line per method, for runs at several rates."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number
from bench.results.analysis import like_columns, optional_like_columns
from bench.results.repeats import name_repeat
from bench.stats.intervals import Estimate, estimate_median
from bench.stats.summary import is_cell_valid, select_shown_trials

NAME = "curve"
_LEGEND_CHARACTERS = 100
"""The most characters of a legend's row over the figure."""
MAX_LABELS, MAX_LABEL_CHARACTERS = 6, 12
"""The most labels at the ends of lines, and their longest; otherwise the figure has a legend."""
UNEVEN_ARRIVALS = frozenset({"step", "burst"})
"""Arrivals whose mean rate says little about the load on the method."""
PANELS = {"p50": "Median of completion", "p99": "99th percentile of completion"}
COLUMNS = ("method", "cell", "quantile", "achieved_per_s", "latency_ms", "low_ms", "high_ms", "trials", "valid")


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A cell's latency at a quantile in milliseconds, over the rate that it achieved; medians over its trials."""

    method: str
    transport: str
    cell: str
    quantile: str
    achieved_per_s: float
    latency: Estimate
    valid: bool


def draw_charts(
    trials: pd.DataFrame, capacities: pd.DataFrame | None = None, *, in_sets: bool = False
) -> Iterator[Chart]:
    """Yields the chart "curve"; none where each method was measured at one rate.

    ``capacities`` are ``Run.capacities()``, if there are any. ``in_sets``: the run was played in sets.
    """
    drawn = list(build_points(trials))
    if not drawn:
        return
    ends = [] if capacities is None else list(_read_capacities(capacities))
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, ends, in_sets)
    yield Chart(
        name=NAME,
        heading="Latency against achieved rate",
        says=_describe(drawn),
        figure=figure,
        columns=COLUMNS,
        rows=[
            *build_csv_rows(drawn),
            *(
                (end.method, "", "capacity", format_csv_number(end.per_s), format_csv_number(end.slo_ms))
                for end in ends
            ),
        ],
    )


@dataclass(frozen=True, slots=True)
class CapacityMark:
    """The highest rate at which p99 of a method's completion stayed under ``slo_ms``."""

    method: str
    transport: str
    per_s: float
    slo_ms: float


def _read_capacities(found: pd.DataFrame) -> Iterator[CapacityMark]:
    for row in found.to_dict("records"):
        if row["last_pass_per_s"]:
            yield CapacityMark(row["cell"], row["transport"], float(row["last_pass_per_s"]), float(row["slo_p99_ms"]))


def build_points(trials: pd.DataFrame) -> Iterator[CurvePoint]:
    """Yields the points of every method measured at several rates and otherwise alike, in the order of the rates."""
    named = trials.assign(method=trials["cell"].str.partition("@")[0])
    alike = [name for name in (*like_columns(), *optional_like_columns()) if name != "offered_per_s" and name in named]
    drawn = [
        (str(method), str(transport), levels, group)
        for (method, transport, *levels), group in named.groupby(["method", "transport", *alike], sort=False)
        if group["offered_per_s"].nunique() > 1 and not set(group["arrivals"]) & UNEVEN_ARRIVALS
    ]
    # The levels by which two drawn lines of a method differ.
    apart = [at for at, _ in enumerate(alike) if len({levels[at] for _, _, levels, _ in drawn}) > 1]
    for method, transport, levels, group in drawn:
        label = "".join((method, *(f", {alike[at]} {levels[at]}" for at in apart)))
        for _, cells in group.groupby("offered_per_s"):
            for cell, all_trials in cells.groupby("cell", sort=False):
                measured = select_shown_trials(all_trials)
                if measured.empty:
                    continue
                achieved_per_s = float(measured["achieved_per_s"].median())
                for quantile in PANELS:
                    latency = estimate_median(measured[f"finish_{quantile}_us"].dropna() / 1000)
                    valid = is_cell_valid(all_trials)
                    yield CurvePoint(label, transport, str(cell), quantile, achieved_per_s, latency, valid)


def build_csv_rows(drawn: Sequence[CurvePoint]) -> Iterator[tuple[object, ...]]:
    """Yields the rows of the CSV beside the figure."""
    for point in drawn:
        ends = (point.latency.value, point.latency.low, point.latency.high)
        yield (
            point.method,
            point.cell,
            point.quantile,
            format_csv_number(point.achieved_per_s),
            *map(format_csv_number, ends),
            point.latency.n,
            str(point.valid).lower(),
        )


def _draw_figure(drawn: Sequence[CurvePoint], ends: Sequence[CapacityMark], in_sets: bool) -> Figure:
    figure = style.create_figure(10, 4.8)
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    low_ms, top_ms = _axis_limits(drawn, ends)
    methods = list(dict.fromkeys(point.method for point in drawn))
    labelled = len(methods) <= MAX_LABELS and max(map(len, methods)) <= MAX_LABEL_CHARACTERS
    right = max((*(point.achieved_per_s for point in drawn), *(end.per_s for end in ends)))
    for axes, (quantile, heading) in zip(panels, PANELS.items(), strict=True):
        style.style_panel(axes, heading)
        axes.set_yscale("log")
        style.set_log_scale(axes.yaxis)
        axes.set_xlabel("orders a second achieved", fontsize=9)
        for method in methods:
            line = [point for point in drawn if (point.method, point.quantile) == (method, quantile)]
            _draw_line(axes, line, top_ms, _dash_for(drawn, method))
        axes.set_xlim(0, right * (1.28 if labelled else 1.04))
        axes.set_ylim(low_ms, top_ms)
        if quantile == "p99":
            _draw_capacities(axes, ends)
    panels[0].set_ylabel("milliseconds from the planned time (log)", fontsize=9)
    each = name_repeat("trial", in_sets=in_sets)
    caption = (
        f"Medians over {each}s; bars: 95 % intervals, where there are {each}s enough; ∞: orders that did not finish. "
        "Hollow: INVALID cells."
    )
    if ends:
        caption += "\nDashed: what p99 is to stay under; x: the highest rate at which it did (capacity)."
    style.add_caption(figure, caption)
    if labelled:
        for axes, quantile in zip(panels, PANELS, strict=True):
            style.label_line_ends(
                axes, list(_line_labels([point for point in drawn if point.quantile == quantile], top_ms))
            )
    else:
        handles, labels = panels[0].get_legend_handles_labels()
        columns = max(1, _LEGEND_CHARACTERS // (max(map(len, labels)) + 6))
        figure.legend(
            handles, labels, loc="outside upper center", ncols=min(columns, len(labels)), frameon=False, fontsize=9.5
        )
    return figure


def _draw_capacities(axes: Axes, ends: Sequence[CapacityMark]) -> None:
    for slo_ms in dict.fromkeys(end.slo_ms for end in ends):
        axes.axhline(slo_ms, color=style.MUTED, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(
            f"{slo_ms:g} ms", (0, slo_ms), xytext=(3, 3), textcoords="offset points", fontsize=8.5, color=style.MUTED
        )
    for end in ends:
        colour = style.colour(end.transport)
        axes.plot([end.per_s], [end.slo_ms], color=colour, marker="x", markersize=8, markeredgewidth=2, zorder=4)
        axes.annotate(
            f"{end.per_s:,.0f}",
            (end.per_s, end.slo_ms),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            va="bottom",
            rotation=90,
        )


def _line_labels(drawn: Sequence[CurvePoint], top_ms: float) -> Iterator[tuple[float, float, str, str]]:
    """Yields where each line of a panel ends (x, y), its label and its colour."""
    for method in dict.fromkeys(point.method for point in drawn):
        last = [point for point in drawn if point.method == method and point.latency.value is not None]
        if last:
            y = min(last[-1].latency.value or top_ms, top_ms)
            transport = last[-1].transport
            yield last[-1].achieved_per_s, y, style.format_cell_name(method, transport), style.colour(transport)


def _axis_limits(drawn: Sequence[CurvePoint], capacities: Sequence[CapacityMark]) -> tuple[float, float]:
    """Returns the lower and upper limit of the axis in milliseconds; unfinished orders are drawn at the top."""
    ends = (end for point in drawn for end in (point.latency.value, point.latency.low, point.latency.high))
    finite = [end for end in ends if end and math.isfinite(end)] or [1.0, 10.0]
    finite += [capacity.slo_ms for capacity in capacities]
    return min(finite) / 1.3, max(finite) * 1.6


def _dash_for(drawn: Sequence[CurvePoint], method: str) -> str:
    """Returns the dash of a method's line, by its place among the lines of its transport."""
    transport = next(point.transport for point in drawn if point.method == method)
    lines = list(dict.fromkeys(point.method for point in drawn if point.transport == transport))
    return style.DASHES[lines.index(method) % len(style.DASHES)]


def _draw_line(axes: Axes, line: Sequence[CurvePoint], top_ms: float, dash: str) -> None:
    there = [point for point in line if point.latency.value is not None]
    if not there:
        return
    transport = there[0].transport
    colour, marker = style.colour(transport), style.marker(transport)
    axes.plot(
        [point.achieved_per_s for point in there],
        [min(point.latency.value or math.nan, top_ms) for point in there],
        color=colour,
        linestyle=dash,
        linewidth=1.6,
        marker=marker,
        markersize=6,
        label=style.format_cell_name(there[0].method, transport),
        zorder=3,
        clip_on=False,
    )
    for point in there:
        low, high = point.latency.low, point.latency.high
        if low is not None and high is not None and math.isfinite(low):
            ends = [low, min(high, top_ms)]
            axes.plot([point.achieved_per_s] * 2, ends, color=colour, alpha=0.35, linewidth=4, zorder=2)
        if math.isinf(point.latency.value or 0.0):
            axes.annotate(
                "∞", (point.achieved_per_s, top_ms), xytext=(5, -10), textcoords="offset points", color=colour
            )
        if not point.valid:
            axes.plot(
                [point.achieved_per_s],
                [min(point.latency.value or math.nan, top_ms)],
                marker=marker,
                markersize=6,
                markerfacecolor="white",
                markeredgecolor=colour,
                linestyle="none",
                zorder=4,
                clip_on=False,
            )


def _describe(drawn: Sequence[CurvePoint]) -> str:
    """Describes the chart in a sentence, for readers who cannot see it."""
    parts = []
    for method in dict.fromkeys(point.method for point in drawn):
        medians = [point for point in drawn if (point.method, point.quantile) == (method, "p50")]
        said = ", ".join(
            f"{'unknown' if point.latency.value is None else format_number(point.latency.value) + ' ms'} "
            f"at {format_number(point.achieved_per_s)} orders/s"
            for point in medians
        )
        parts.append(f"{style.format_cell_name(method, medians[0].transport)} {said}")
    return f"The median order finishes in: {'; '.join(parts)}."
