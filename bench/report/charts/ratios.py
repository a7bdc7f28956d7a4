"""Draws each cell's ratio to REST with its interval and the band of no difference."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number, format_with_interval, parse_number
from bench.report.wording import find_drawable_numbers
from bench.stats.equivalence import EQUIVALENCE_BAND

NAME = "ratios"
PANELS: Mapping[str, str] = {
    "finish_p50_us": "Median completion",
    "finish_p99_us": "p99 of completion",
    "cpu_us_per_order_services": "CPU of services",
    "wire_bytes_per_order": "Bytes on the wire",
}
COLUMNS = ("cell", "codec", "base", "base_codec", "metric", "ratio", "low", "high", "rounds")
MAX_ROWS = 12
"""A study with more has its effects drawn instead."""


def draw_charts(ratios: Sequence[Mapping[str, Any]], *, in_sets: bool = False) -> Iterator[Chart]:
    """Yields the chart "ratios" from a summary's ratios; none without any, or for more than MAX_ROWS.

    ``in_sets``: they are of sets, and not of paired rounds.
    """
    there = select_ratios(ratios)
    if not there:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(there, in_sets)
    heading = "Times what REST takes"
    yield Chart(
        name=NAME, heading=heading, says=_describe(there), figure=figure, columns=COLUMNS, rows=list(_csv_rows(there))
    )


def select_ratios(ratios: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Returns the ratios with a known metric that the chart draws; none when there are more than MAX_ROWS."""
    there = [ratio for ratio in ratios if any(_known_metrics(ratio))]
    return there if len(there) <= MAX_ROWS else ()


def _known_metrics(ratio: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in PANELS:
        metric = ratio["metrics"].get(name)
        if metric is not None and metric["estimate"] is not None:
            yield metric


def _csv_rows(ratios: Sequence[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    for ratio in ratios:
        for name in PANELS:
            metric = ratio["metrics"].get(name)
            if metric is not None and metric["estimate"] is not None:
                ends = (
                    None if metric[end] is None else parse_number(metric[end]) for end in ("estimate", "low", "high")
                )
                named = (ratio["cell"], ratio["codec"], ratio["base"], ratio["base_codec"], name)
                yield (*named, *map(format_csv_number, ends), metric["n"])


def _draw_figure(ratios: Sequence[Mapping[str, Any]], in_sets: bool) -> Figure:
    figure = style.create_figure(10, 1.7 + 0.52 * len(ratios))
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    seen = list(find_drawable_numbers([metric for ratio in ratios for metric in _known_metrics(ratio)]))
    farthest = max((max(value, 1 / value) for value in (*seen, EQUIVALENCE_BAND * 1.2)), default=1.0) * 1.15
    for axes, (name, heading) in zip(panels, PANELS.items(), strict=True):
        style.style_panel(axes, heading, "x")
        axes.set_xscale("log")
        style.set_ratio_scale(axes.xaxis, seen)
        # Less is better in all of them: turned round, so that better is to the right.
        axes.set_xlim(farthest, 1 / farthest)
        axes.axvspan(EQUIVALENCE_BAND, 1 / EQUIVALENCE_BAND, color=style.RULE, zorder=0)
        axes.axvline(1, color=style.MUTED, linewidth=1)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("times REST (log), better →", fontsize=9)
        for row, ratio in enumerate(ratios):
            _draw_ratio(axes, row, ratio["transport"], ratio["metrics"].get(name), farthest)
    panels[0].set_yticks(range(len(ratios)), [_row_label(ratio) for ratio in ratios], fontsize=9.5, linespacing=1.2)
    panels[0].set_ylim(len(ratios) - 0.45, -0.55)
    rounds = sorted({metric["n"] for ratio in ratios for metric in _known_metrics(ratio)})
    how = "Ratio over sets, Student's t" if in_sets else "Hodges and Lehmann's ratio over paired rounds"
    style.add_caption(
        figure,
        f"{how} (n = {' to '.join(map(str, {rounds[0]: 0, rounds[-1]: 0}))}); "
        f"bars: 95 % intervals.\nGrey: no practical difference, a tenth more or less. Lines: no difference.",
    )
    return figure


def _row_label(ratio: Mapping[str, Any]) -> str:
    return f"{style.format_cell_name(ratio['cell'], ratio['transport'])}\n{ratio['codec']}, REST {ratio['base_codec']}"


def _draw_ratio(axes: Axes, row: int, transport: str, metric: Mapping[str, Any] | None, farthest: float) -> None:
    if metric is None or metric["estimate"] is None:
        axes.annotate("n/a", (1, row), ha="center", va="bottom", fontsize=8.5, color=style.MUTED)
        return
    colour = style.colour(transport)
    value = parse_number(metric["estimate"])

    def inside(number: float) -> float:
        return min(max(number, 1 / farthest), farthest)

    low, high = (None if metric[end] is None else parse_number(metric[end]) for end in ("low", "high"))
    if low is not None and high is not None:
        axes.plot([inside(low), inside(high)], [row, row], color=colour, alpha=0.45, linewidth=4, zorder=2)
    marker = style.marker(transport) if 1 / farthest < value < farthest else "<" if value > 1 else ">"
    axes.plot([inside(value)], [row], color=colour, marker=marker, markersize=7, zorder=3, clip_on=False)
    axes.annotate(
        format_with_interval(value, low, high),
        (0.5, row + 0.36),
        xycoords=("axes fraction", "data"),
        ha="center",
        va="center",
        fontsize=8.5,
        zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )


def _describe(ratios: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{style.format_cell_name(ratio['cell'], ratio['transport'])} {format_number(parse_number(metric['estimate']))}"
        for ratio in ratios
        if (metric := ratio["metrics"].get("finish_p50_us")) is not None and metric["estimate"] is not None
    ]
    return f"Times REST's median completion: {'; '.join(parts)}." if parts else "No ratio of median completion."
