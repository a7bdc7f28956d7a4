"""Latency against achieved rate, a line per method: drawn when a run has several rates."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart, number
from bench.report.formatting import digits
from bench.stats.intervals import Estimate, median_of
from bench.stats.summary import ALIKE, OWN, is_valid, shown

NAME = "curve"
_LETTERS = 100
"""That stand beside one another over the figure."""
MOST_LABELS, LONGEST_LABEL = 6, 12
"""At the ends of lines; more of them, or longer ones, have a legend."""
UNEVEN = frozenset({"step", "burst"})
"""Arrivals whose mean rate says little of what the method had to carry."""
PANELS = {"p50": "Median of completion", "p99": "99th percentile of completion"}
COLUMNS = ("method", "cell", "quantile", "achieved_per_s", "latency_ms", "low_ms", "high_ms", "trials", "valid")


@dataclass(frozen=True, slots=True)
class Point:
    """A cell's latency at a quantile in milliseconds, over the rate that it achieved; medians over its trials."""

    method: str
    transport: str
    cell: str
    quantile: str
    achieved_per_s: float
    latency: Estimate
    valid: bool


def charts(trials: pd.DataFrame, capacities: pd.DataFrame | None = None) -> Iterator[Chart]:
    """curve; nothing where each method was measured at one rate. ``capacities`` are ``Run.capacities()``, if any."""
    drawn = list(points(trials))
    if not drawn:
        return
    ends = [] if capacities is None else list(_capacities(capacities))
    with mpl.rc_context(style.SETTINGS):
        figure = _figure(drawn, ends)
    yield Chart(
        name=NAME,
        heading="Latency against achieved rate",
        says=_sentence(drawn),
        figure=figure,
        columns=COLUMNS,
        rows=[*rows(drawn), *((end.method, "", "capacity", number(end.per_s), number(end.slo_ms)) for end in ends)],
    )


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest rate at which p99 of a method's completion stayed under ``slo_ms``."""

    method: str
    transport: str
    per_s: float
    slo_ms: float


def _capacities(found: pd.DataFrame) -> Iterator[Capacity]:
    for row in found.to_dict("records"):
        if row["last_pass_per_s"]:
            yield Capacity(row["cell"], row["transport"], float(row["last_pass_per_s"]), float(row["slo_p99_ms"]))


def points(trials: pd.DataFrame) -> Iterator[Point]:
    """Of every method that was measured at several rates and else alike, in the order of the rates."""
    named = trials.assign(method=trials["cell"].str.partition("@")[0])
    alike = [name for name in (*ALIKE, *OWN) if name != "offered_per_s" and name in named]
    drawn = [
        (str(method), str(transport), levels, group)
        for (method, transport, *levels), group in named.groupby(["method", "transport", *alike], sort=False)
        if group["offered_per_s"].nunique() > 1 and not set(group["arrivals"]) & UNEVEN
    ]
    # Of what is drawn, what tells two lines of a method apart.
    apart = [at for at, _ in enumerate(alike) if len({levels[at] for _, _, levels, _ in drawn}) > 1]
    for method, transport, levels, group in drawn:
        label = "".join((method, *(f", {alike[at]} {levels[at]}" for at in apart)))
        for _, cells in group.groupby("offered_per_s"):
            for cell, all_trials in cells.groupby("cell", sort=False):
                measured = shown(all_trials)
                if measured.empty:
                    continue
                achieved_per_s = float(measured["achieved_per_s"].median())
                for quantile in PANELS:
                    latency = median_of(measured[f"finish_{quantile}_us"].dropna() / 1000)
                    valid = is_valid(all_trials)
                    yield Point(label, transport, str(cell), quantile, achieved_per_s, latency, valid)


def rows(drawn: Sequence[Point]) -> Iterator[tuple[object, ...]]:
    """The CSV beside the figure."""
    for point in drawn:
        ends = (point.latency.value, point.latency.low, point.latency.high)
        yield (
            point.method,
            point.cell,
            point.quantile,
            number(point.achieved_per_s),
            *map(number, ends),
            point.latency.n,
            str(point.valid).lower(),
        )


def _figure(drawn: Sequence[Point], ends: Sequence[Capacity]) -> Figure:
    figure = style.blank(10, 4.8)
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    low_ms, top_ms = _limits(drawn, ends)
    methods = list(dict.fromkeys(point.method for point in drawn))
    labelled = len(methods) <= MOST_LABELS and max(map(len, methods)) <= LONGEST_LABEL
    right = max((*(point.achieved_per_s for point in drawn), *(end.per_s for end in ends)))
    for axes, (quantile, heading) in zip(panels, PANELS.items(), strict=True):
        style.panel(axes, heading)
        axes.set_yscale("log")
        style.log_scale(axes.yaxis)
        axes.set_xlabel("orders a second achieved", fontsize=9)
        for method in methods:
            line = [point for point in drawn if (point.method, point.quantile) == (method, quantile)]
            _line(axes, line, top_ms, _dash(drawn, method))
        axes.set_xlim(0, right * (1.28 if labelled else 1.04))
        axes.set_ylim(low_ms, top_ms)
        if quantile == "p99":
            _ends(axes, ends)
    panels[0].set_ylabel("milliseconds from the planned time (log)", fontsize=9)
    caption = (
        "Medians over trials; bars: 95 % intervals, where there are trials enough; ∞: orders that did not finish. "
        "Hollow: INVALID cells."
    )
    if ends:
        caption += "\nDashed: what p99 is to stay under; x: the highest rate at which it did (capacity)."
    style.caption(figure, caption)
    if labelled:
        for axes, quantile in zip(panels, PANELS, strict=True):
            style.label_ends(axes, list(_names([point for point in drawn if point.quantile == quantile], top_ms)))
    else:
        handles, labels = panels[0].get_legend_handles_labels()
        columns = max(1, _LETTERS // (max(map(len, labels)) + 6))
        figure.legend(
            handles, labels, loc="outside upper center", ncols=min(columns, len(labels)), frameon=False, fontsize=9.5
        )
    return figure


def _ends(axes: Axes, ends: Sequence[Capacity]) -> None:
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


def _names(drawn: Sequence[Point], top_ms: float) -> Iterator[tuple[float, float, str, str]]:
    """Where the lines of a panel end, and how they are called."""
    for method in dict.fromkeys(point.method for point in drawn):
        last = [point for point in drawn if point.method == method and point.latency.value is not None]
        if last:
            y = min(last[-1].latency.value or top_ms, top_ms)
            transport = last[-1].transport
            yield last[-1].achieved_per_s, y, style.title(method, transport), style.colour(transport)


def _limits(drawn: Sequence[Point], capacities: Sequence[Capacity]) -> tuple[float, float]:
    """Of the axis of milliseconds; what did not finish is drawn at its top."""
    ends = (end for point in drawn for end in (point.latency.value, point.latency.low, point.latency.high))
    finite = [end for end in ends if end and math.isfinite(end)] or [1.0, 10.0]
    finite += [capacity.slo_ms for capacity in capacities]
    return min(finite) / 1.3, max(finite) * 1.6


def _dash(drawn: Sequence[Point], method: str) -> str:
    """Which of its transport's lines it is."""
    transport = next(point.transport for point in drawn if point.method == method)
    lines = list(dict.fromkeys(point.method for point in drawn if point.transport == transport))
    return style.DASHES[lines.index(method) % len(style.DASHES)]


def _line(axes: Axes, line: Sequence[Point], top_ms: float, dash: str) -> None:
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
        label=style.title(there[0].method, transport),
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


def _sentence(drawn: Sequence[Point]) -> str:
    """What one sees, for those who cannot."""
    parts = []
    for method in dict.fromkeys(point.method for point in drawn):
        medians = [point for point in drawn if (point.method, point.quantile) == (method, "p50")]
        said = ", ".join(
            f"{'unknown' if point.latency.value is None else digits(point.latency.value) + ' ms'} "
            f"at {digits(point.achieved_per_s)} orders/s"
            for point in medians
        )
        parts.append(f"{style.title(method, medians[0].transport)} {said}")
    return f"The median order finishes in: {'; '.join(parts)}."
