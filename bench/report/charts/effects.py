"""Draws what each factor of a design does: a forest plot, and lines over order sizes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report import style
from bench.report.charts.chart import Chart
from bench.report.formatting import format_number
from bench.stats.effects import KIB, SIZE_COLUMN
from bench.stats.summary import is_cell_valid, select_shown_trials

FOREST_NAME, SIZE_LINES_NAME = "effects", "size"
RATIO_PANELS: Mapping[str, str] = {
    "accept_p50_us": "Median acceptance",
    "finish_p50_us": "Median completion",
    "cpu_us_per_order_services": "CPU of services",
    "wire_bytes_per_order": "Bytes on the wire",
}
SIZE_PANELS: Mapping[str, tuple[str, float]] = {
    "finish_p50_us": ("Median completion, ms", 1000),
    "cpu_us_per_order_services": ("CPU of services, ms an order", 1000),
    "wire_bytes_per_order": ("On the wire, KiB an order", KIB),
}
"""Title, and what the metric is divided by."""
MIN_SIZES = 3
"""The fewest sizes that are drawn: two points are no line."""
COLUMNS = ("transport", "factor", "level", "base", "metric", "ratio", "low", "high", "n")
SIZE_COLUMNS = ("transport", "context", "order_bytes", "metric", "median", "slope_per_kib", "at_0")


def draw_charts(trials: pd.DataFrame, found: pd.DataFrame) -> Iterator[Chart]:
    """Yields the charts "effects" and "size"; neither where the design has no data for it.

    ``found`` are the effects that bench.stats.effects computes from ``trials``.
    """
    if found.empty:
        return
    ratios = found[(found["kind"] == "main") & found["metric"].isin(list(RATIO_PANELS)) & found["estimate"].notna()]
    if len(ratios):
        with mpl.rc_context(style.RC_PARAMS):
            figure = _draw_forest(ratios)
        yield Chart(
            name=FOREST_NAME,
            heading="What each factor does",
            says=_describe(ratios),
            figure=figure,
            columns=COLUMNS,
            rows=list(_csv_rows(ratios)),
        )
    lines = found[found["kind"].isin(["slope", "at 0"])]
    if len(lines) and trials[SIZE_COLUMN].nunique() >= MIN_SIZES:
        points = list(_size_points(trials, lines))
        with mpl.rc_context(style.RC_PARAMS):
            figure = _draw_size_lines(points, _method_names(found))
        yield Chart(
            name=SIZE_LINES_NAME,
            heading="What a larger order costs",
            says="Completion, CPU and bytes on the wire over the size of an order, with the lines of effects.csv.",
            figure=figure,
            columns=SIZE_COLUMNS,
            rows=[tuple(point.values()) for point in points],
        )


def _csv_rows(ratios: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for row in ratios.to_dict("records"):
        ends = ["" if pd.isna(row[end]) else f"{row[end]:.6g}" for end in ("estimate", "low", "high")]
        yield (*(row[name] for name in ("transport", "factor", "level", "base", "metric")), *ends, row["n"])


def _level_changes(ratios: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Factor, level and base, in the order in which they come."""
    return list(dict.fromkeys(zip(ratios["factor"], ratios["level"], ratios["base"], strict=True)))


def _draw_forest(ratios: pd.DataFrame) -> Figure:
    steps = _level_changes(ratios)
    transports = list(dict.fromkeys(ratios["transport"]))
    height = 1.6 + len(steps) * (0.25 + 0.17 * len(transports))
    figure = style.create_figure(10, height)
    panels: Sequence[Axes] = figure.subplots(1, len(RATIO_PANELS), sharey=True)
    for axes, (metric, heading) in zip(panels, RATIO_PANELS.items(), strict=True):
        style.style_panel(axes, heading, "x")
        axes.set_xscale("log")
        axes.axvline(1, color=style.MUTED, linewidth=1)
        axes.tick_params(axis="y", length=0)
        here = ratios[ratios["metric"] == metric]
        numbers = here[["estimate", "low", "high"]].astype(float).to_numpy().flat
        seen = [value for value in numbers if math.isfinite(value) and value > 0]
        style.set_ratio_scale(axes.xaxis, seen)
        low, high = min((1.0, *seen)) / 1.15, max((1.0, *seen)) * 1.15
        axes.set_xlim(low, high)
        for place, step in enumerate(steps):
            for lane, transport in enumerate(transports):
                at = place + (lane - (len(transports) - 1) / 2) * 0.18
                of_step = here[(here["transport"] == transport) & (_level_change_series(here) == step)]
                for row in of_step.to_dict("records"):
                    _draw_ratio(axes, at, row, low, high)
    labels = [f"{factor}\n{level} for {base}" for factor, level, base in steps]
    panels[0].set_yticks(range(len(steps)), labels, fontsize=9.5)
    panels[0].set_ylim(len(steps) - 0.5, -0.5)
    handles = [
        mpl.lines.Line2D([], [], color=style.colour(name), marker=style.marker(name), linestyle="none", markersize=6)
        for name in transports
    ]
    names = _method_names(ratios)
    titles = [names[name] for name in transports]
    figure.legend(handles, titles, loc="outside upper center", ncols=len(titles), frameon=False, fontsize=9.5)
    caption = (
        "Times the base level (log), over the contexts that every method and level has; bars: 95 % intervals; "
        "arrows: orders that did not finish."
    )
    style.add_caption(figure, caption)
    return figure


def _method_names(found: pd.DataFrame) -> Mapping[str, str]:
    """Returns the name of each method as people know it, by transport."""
    return {
        transport: style.format_method_name(transport, product)
        for transport, product in zip(found["transport"], found["product"], strict=True)
    }


def _level_change_series(rows: pd.DataFrame) -> "pd.Series[Any]":
    return pd.Series(
        list(zip(rows["factor"], rows["level"], rows["base"], strict=True)), index=rows.index, dtype=object
    )


def _draw_ratio(axes: Axes, at: float, row: Mapping[Any, Any], low: float, high: float) -> None:
    """Draws a ratio and its interval; an infinite or zero one, where orders did not finish, as an arrow at the edge."""
    colour, value = style.colour(row["transport"]), float(row["estimate"])
    if pd.notna(row["low"]):
        ends = [min(max(row[end], low), high) for end in ("low", "high")]
        axes.plot(ends, [at, at], color=colour, alpha=0.35, linewidth=4, zorder=2)
    marker = ">" if math.isinf(value) else style.marker(row["transport"]) if value > 0 else "<"
    axes.plot([min(max(value, low), high)], [at], color=colour, marker=marker, markersize=6, zorder=3, clip_on=False)


def _describe(ratios: pd.DataFrame) -> str:
    """Describes the chart in a sentence, for readers who cannot see it: completion at every change of level."""
    parts = []
    names = _method_names(ratios)
    for row in ratios[ratios["metric"] == "finish_p50_us"].to_dict("records"):
        name = names[row["transport"]]
        parts.append(f"{name} with {row['level']} for {row['base']} {format_number(float(row['estimate']))} times")
    return f"Median completion against the base level: {'; '.join(parts)}."


def _size_points(trials: pd.DataFrame, lines: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A median for every size of every line, with the line's own numbers."""
    fitted = {
        (row["transport"], row["context"], row["metric"], row["kind"]): row["estimate"]
        for row in lines.to_dict("records")
    }
    measured = pd.concat(
        [select_shown_trials(rows) for _, rows in trials.groupby("cell", sort=False) if is_cell_valid(rows)]
    )
    for transport, context in dict.fromkeys(zip(lines["transport"], lines["context"], strict=True)):
        rows = measured[measured["transport"] == transport]
        for level in filter(None, context.split(", ")):
            name, _, value = level.partition("=")
            rows = rows[rows[name].map(lambda one: f"{one:g}" if isinstance(one, float) else str(one)) == value]
        for order_bytes, of_size in rows.groupby(SIZE_COLUMN):
            for metric in SIZE_PANELS:
                values = of_size[metric].dropna()
                if len(values):
                    yield {
                        "transport": transport,
                        "context": context,
                        "order_bytes": order_bytes,
                        "metric": metric,
                        "median": float(values.median()),
                        "slope_per_kib": fitted.get((transport, context, metric, "slope")),
                        "at_0": fitted.get((transport, context, metric, "at 0")),
                    }


def _dash_numbers(points: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """Returns the dash of each line; what is measured alike has the same one on every method."""
    lanes: dict[tuple[str, str], int] = {}
    of_method: dict[str, list[str]] = {}
    known: list[str] = []
    for transport, context in dict.fromkeys((point["transport"], point["context"]) for point in points):
        shape = context.rpartition("shape=")[2] if "shape=" in context else context
        if shape not in known:
            known.append(shape)
        lane = known.index(shape)
        # A method with several formats has more lines of a shape.
        lane += 2 * of_method.setdefault(transport, []).count(shape)
        of_method[transport].append(shape)
        lanes[transport, context] = lane
    return lanes


def _draw_size_lines(points: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Figure:
    figure = style.create_figure(11, 4.6)
    panels: Sequence[Axes] = figure.subplots(1, len(SIZE_PANELS), sharex=True)
    lanes = _dash_numbers(points)
    for axes, (metric, (heading, unit)) in zip(panels, SIZE_PANELS.items(), strict=True):
        style.style_panel(axes, heading, "both")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator([size / KIB for size in sorted({p["order_bytes"] for p in points})]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        style.set_log_scale(axes.yaxis)
        axes.set_xlabel("KiB of an order's JSON (log)", fontsize=9)
        for transport, context in dict.fromkeys((point["transport"], point["context"]) for point in points):
            here = [
                point
                for point in points
                if (point["transport"], point["context"], point["metric"]) == (transport, context, metric)
            ]
            if not here:
                continue
            kib = [point["order_bytes"] / KIB for point in here]
            colour, dash = style.colour(transport), style.DASHES[lanes[transport, context] % len(style.DASHES)]
            axes.plot(
                kib,
                [point["median"] / unit for point in here],
                color=colour,
                marker=style.marker(transport),
                markersize=5,
                fillstyle="full" if dash == "-" else "none",
                linestyle="none",
            )
            slope, at_0 = here[0]["slope_per_kib"], here[0]["at_0"]
            axes.plot([], [], color=colour, linestyle=dash, label=_line_label(names[transport], context, slope))
            if slope is not None and at_0 is not None and pd.notna(slope):
                fitted = [(at_0 + slope * at) / unit for at in kib]
                if min(fitted) > 0:
                    axes.plot(
                        kib,
                        fitted,
                        color=colour,
                        linewidth=1.2,
                        linestyle=dash,
                    )
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=8.5)
    style.add_caption(figure, "Medians of cells, and the line through all trials; named with it: what a KiB more adds.")
    return figure


def _line_label(name: str, context: str, slope_us: Any) -> str:
    slope = "" if slope_us is None or pd.isna(slope_us) else f": {format_number(float(slope_us))} us a KiB"
    return f"{name} {context}{slope}"
