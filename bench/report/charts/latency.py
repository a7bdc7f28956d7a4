"""Draws acceptance and completion latency of each cell from trials.csv."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number
from bench.results.repeats import name_repeat
from bench.stats.intervals import Estimate, estimate_median, scale_estimate
from bench.stats.summary import RunStatistics, is_cell_valid, select_shown_trials

PANELS = {"accept": "Accepted by the method", "finish": "Finished: the buyer is told"}
QUANTILES = ("p50", "p99")
NAME = "latency"
MAX_ROWS, MAX_RATES = 20, 3
"""The most rows and rates of the chart; a study has charts of its own."""
_TRIALS_OFFSET = 0.21
"""How far below its medians a row's trials are drawn, in rows."""


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """One quantile of a cell in a panel: its trials and their median, in milliseconds."""

    cell: str
    transport: str
    panel: str
    quantile: str
    rounds: tuple[int, ...]
    trials_ms: tuple[float, ...]
    median: Estimate


def draw_charts(
    trials: pd.DataFrame,
    manifest: Mapping[str, Any],
    statistics: RunStatistics | None = None,
    *,
    in_sets: bool = False,
) -> Iterator[Chart]:
    """Yields the chart "latency", for one to MAX_ROWS cells; ``statistics`` are those of a run in sets.

    ``in_sets``: it was played in sets, and may have no statistics yet.
    """
    if not 0 < trials["cell"].nunique() <= MAX_ROWS:
        return
    drawn = list(build_points(trials, statistics))
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(trials, drawn, dict(manifest.get("skipped", {})), in_sets)
    heading = "Latency from the planned time, median and 99th percentile"
    yield Chart(
        name=NAME,
        heading=heading,
        says=_describe(drawn),
        figure=figure,
        columns=COLUMNS,
        rows=list(build_csv_rows(drawn)),
    )


def build_points(trials: pd.DataFrame, statistics: RunStatistics | None = None) -> Iterator[LatencyPoint]:
    """Yields a point per cell, panel and quantile, of the trials that the summary counts."""
    for key, group in trials.groupby(["cell", "transport"], sort=False):
        cell, transport = map(str, key)
        measured = select_shown_trials(group)
        for panel in PANELS:
            for quantile in QUANTILES:
                kept = measured[["round", f"{panel}_{quantile}_us"]].dropna()
                values = tuple(float(value) / 1000 for value in kept.iloc[:, 1])
                rounds = tuple(map(int, kept["round"]))
                whole = None if statistics is None else statistics.estimate_whole(f"{panel}_{quantile}_us", cell)
                number = estimate_median(values) if whole is None else scale_estimate(whole, 1 / 1000)
                yield LatencyPoint(cell, transport, panel, quantile, rounds, values, number)


COLUMNS = ("cell", "transport", "panel", "quantile", "what", "round", "latency_ms", "low_ms", "high_ms", "n")


def build_csv_rows(drawn: Sequence[LatencyPoint]) -> Iterator[tuple[object, ...]]:
    """Yields the rows of the CSV beside the figure: a row per median with its interval, and a row per trial."""
    for point in drawn:
        named = (point.cell, point.transport, point.panel, point.quantile)
        median = point.median
        yield (*named, "median", "", *map(format_csv_number, (median.value, median.low, median.high)), median.n)
        for round_, value in zip(point.rounds, point.trials_ms, strict=True):
            yield (*named, "trial", round_, format_csv_number(value), "", "", "")


def _draw_figure(
    trials: pd.DataFrame, drawn: Sequence[LatencyPoint], skipped: Mapping[str, str], in_sets: bool
) -> Figure:
    names = list(dict.fromkeys((point.cell, point.transport) for point in drawn))
    labels = [f"{style.format_cell_name(*name)}\n{_cell_details(trials, name[0])}" for name in names]
    labels += [style.format_cell_name(name) for name in skipped]
    figure = style.create_figure(8, 1.7 + 0.6 * len(labels))
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    limits = _axis_limits(drawn)
    for axes, (panel, heading) in zip(panels, PANELS.items(), strict=True):
        style.style_panel(axes, heading, "x")
        _set_up_axis(axes, limits)
        for row, (cell, _) in enumerate(names):
            p50, p99 = (point for point in drawn if (point.panel, point.cell) == (panel, cell))
            _draw_row(axes, row, p50, p99, limits)
        for row, reason in enumerate(skipped.values(), len(names)):
            _draw_note(axes, limits[0], row, f"n/a: {reason}")
    panels[0].set_yticks(range(len(labels)), labels, fontsize=9.5, linespacing=1.25)
    panels[0].set_ylim(len(labels) - 0.45, -0.6)
    style.add_caption(figure, _build_caption(trials, drawn, in_sets))
    return figure


def _cell_details(trials: pd.DataFrame, cell: str) -> str:
    rows = trials[trials["cell"] == cell]
    made_of = f"{rows['codec'].iloc[0]}, {rows['client'].iloc[0]}"
    return made_of if is_cell_valid(rows) else f"{made_of}\nINVALID"


def _axis_limits(drawn: Sequence[LatencyPoint]) -> tuple[float, float]:
    """Returns the limits of the axis that both panels share, with room for the outermost numbers."""
    finite = [value for point in drawn for value in point.trials_ms if 0 < value < math.inf]
    low, high = (min(finite), max(finite)) if finite else (1.0, 10.0)
    span = max(high / low, 10.0)
    return low / span**0.4, high * span**0.3


def _set_up_axis(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    style.set_log_scale(axes.xaxis, (1,) if limits[1] > 2000 * limits[0] else (1, 2, 5))
    axes.tick_params(axis="x", labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("milliseconds from the planned time (log)", fontsize=9)


def _draw_row(axes: Axes, row: int, p50: LatencyPoint, p99: LatencyPoint, limits: tuple[float, float]) -> None:
    colour, marker = style.colour(p50.transport), style.marker(p50.transport)
    fast, slow = p50.median.value, p99.median.value
    if fast is None:
        _draw_note(axes, limits[0], row, "n/a: no trial" if not p50.trials_ms else "n/a")
        return
    ends = [min(limits[1], value) for value in (fast, slow) if value is not None]
    axes.plot(ends, [row] * len(ends), color=colour, linewidth=1.2, zorder=2)
    for point, fill in ((p50, colour), (p99, "white")):
        _draw_trials(axes, row, point, colour)
        _draw_interval(axes, row, point, colour)
        if point.median.value is not None and math.isfinite(point.median.value):
            axes.plot(
                [point.median.value],
                [row],
                marker=marker,
                markersize=7,
                markerfacecolor=fill,
                markeredgecolor=colour,
                markeredgewidth=1.6,
                linestyle="none",
                zorder=4,
            )
    first = row == 0
    _draw_label(axes, min(fast, limits[1]), row, f"{'p50  ' if first else ''}{format_number(fast)}", side=-1)
    if slow is None:
        _draw_label(axes, fast, row, "p99 n/a: too few orders", side=1, muted=True)
    elif math.isinf(slow):
        axes.annotate(
            "p99 ∞: not finished",
            (limits[1], row),
            xytext=(-2, 5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=9,
        )
    else:
        _draw_label(axes, slow, row, f"{format_number(slow)}{'  p99' if first else ''}", side=1)


def _draw_trials(axes: Axes, row: int, point: LatencyPoint, colour: str) -> None:
    finite = [value for value in point.trials_ms if math.isfinite(value)]
    axes.plot(
        finite,
        [row + _TRIALS_OFFSET] * len(finite),
        marker="o",
        markersize=3.4,
        color=colour,
        alpha=0.45,
        markeredgewidth=0,
        linestyle="none",
        zorder=3,
    )


def _draw_interval(axes: Axes, row: int, point: LatencyPoint, colour: str) -> None:
    low, high = point.median.low, point.median.high
    if low is not None and high is not None and math.isfinite(low):
        right = min(high, axes.get_xlim()[1])
        lane = row + _TRIALS_OFFSET
        axes.plot([low, right], [lane, lane], color=colour, alpha=0.22, linewidth=6, solid_capstyle="butt", zorder=1)


def _draw_label(axes: Axes, x: float, row: int, text: str, *, side: int, muted: bool = False) -> None:
    axes.annotate(
        text,
        (x, row),
        xytext=(9 * side, 0),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va="center_baseline",
        fontsize=9.5,
        color=style.MUTED if muted else style.INK,
        zorder=5,
    )


def _draw_note(axes: Axes, x: float, row: int, text: str) -> None:
    short = text if len(text) <= _MAX_NOTE_CHARACTERS else f"{text[: _MAX_NOTE_CHARACTERS - 1].rstrip()}…"
    axes.annotate(
        short,
        (x, row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9,
        color=style.MUTED,
    )


_MAX_NOTE_CHARACTERS = 44


def _build_caption(trials: pd.DataFrame, drawn: Sequence[LatencyPoint], in_sets: bool) -> str:
    """Returns the caption: what the marks mean, and how many trials or sets and orders stand behind them."""
    measured = pd.concat([select_shown_trials(rows) for _, rows in trials.groupby("cell", sort=False)])
    if measured.empty:
        return "No trial brought a number."
    counts = measured.groupby("cell", sort=False).size()
    each = _format_range(counts)
    orders = _format_range(measured["planned"])
    rates = " and ".join(f"{rate:,g}" for rate in sorted(measured["offered_per_s"].unique()))
    if measured["offered_per_s"].nunique() > MAX_RATES:
        rates = _format_range(measured["offered_per_s"])
    trial = name_repeat("trial", in_sets=in_sets)
    marks = f"Filled: median (p50). Open: 99th percentile. Dots: single {trial}s."
    with_interval = [point.median.low is not None for point in drawn if point.median.value is not None]
    bars = f" Bars: 95 % interval over {trial}s." if any(with_interval) else f" Too few {trial}s for an interval."
    if any(with_interval) and not all(with_interval):
        bars = f" Bars: 95 % interval over {trial}s, where there are enough."
    noun = trial if each == "1" else f"{trial}s"
    return f"{marks}{bars}\nn per row: {each} {noun} of {orders} orders, at {rates} orders/s."


def _format_range(numbers: "pd.Series[Any]") -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _format_ms(value_ms: float | None) -> str:
    return "unknown" if value_ms is None else f"{format_number(value_ms)} ms"


def _describe(drawn: Sequence[LatencyPoint]) -> str:
    """Describes the chart in a sentence, for readers who cannot see it."""
    parts = []
    for p50, p99 in zip(drawn[::2], drawn[1::2], strict=True):
        if p50.panel == "finish":
            values = " and ".join(f"{_format_ms(point.median.value)} ({point.quantile})" for point in (p50, p99))
            parts.append(f"{style.format_cell_name(p50.cell, p50.transport)} {values}")
    return f"Orders finish in: {'; '.join(parts)}."
