"""Latency against achieved rate, a line per method: drawn when a run has several rates."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.numbers import digits
from bench.stats.intervals import Estimate, median_of
from bench.stats.summary import ALIKE, OWN, is_valid, shown

NAME = "curve"
_LETTERS = 100
"""That stand beside one another over the figure."""
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


def draw(trials: pd.DataFrame, folder: Path) -> None:
    """curve.svg, .png and .csv in ``folder``; nothing where each method was measured at one rate. Raises OSError."""
    drawn = list(points(trials))
    if not drawn:
        return
    with mpl.rc_context(style.SETTINGS):
        figure = _figure(drawn)
    style.save(figure, folder, NAME, heading="Latency against achieved rate", description=_sentence(drawn))
    style.export(folder, NAME, COLUMNS, rows(drawn))


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
        numbers = ["" if end is None else f"{end:.6g}" for end in ends]
        yield (
            point.method,
            point.cell,
            point.quantile,
            f"{point.achieved_per_s:.6g}",
            *numbers,
            point.latency.n,
            str(point.valid).lower(),
        )


def _figure(drawn: Sequence[Point]) -> Figure:
    figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor="white")
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    low_ms, top_ms = _limits(drawn)
    for axes, (quantile, heading) in zip(panels, PANELS.items(), strict=True):
        axes.set_title(heading, loc="left", fontsize=10.5, fontweight="bold", pad=8)
        axes.set_yscale("log")
        style.log_scale(axes.yaxis)
        axes.grid(axis="y", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("orders a second achieved", fontsize=9)
        for method in dict.fromkeys(point.method for point in drawn):
            line = [point for point in drawn if (point.method, point.quantile) == (method, quantile)]
            _line(axes, line, top_ms, _dash(drawn, method))
        axes.margins(x=0.04)
        axes.set_xlim(left=0)
        axes.set_ylim(low_ms, top_ms)
    panels[0].set_ylabel("milliseconds from the planned time (log)", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = max(1, _LETTERS // (max(map(len, labels)) + 6))
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(columns, len(labels)), frameon=False, fontsize=9.5
    )
    caption = (
        "Medians over trials; bars: 95 % intervals, where there are trials enough; ∞: orders that did not finish. "
        "Hollow: INVALID cells."
    )
    figure.supxlabel(caption, fontsize=8.5, color=style.MUTED, x=0.012, ha="left")
    return figure


def _limits(drawn: Sequence[Point]) -> tuple[float, float]:
    """Of the axis of milliseconds; what did not finish is drawn at its top."""
    numbers = (number for point in drawn for number in (point.latency.value, point.latency.low, point.latency.high))
    finite = [number for number in numbers if number and math.isfinite(number)] or [1.0, 10.0]
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
