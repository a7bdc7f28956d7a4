"""Draws what each level of security, durability, product, client or interpreter costs, by method."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number
from bench.results.analysis import factor_columns
from bench.results.repeats import name_repeat
from bench.stats.effects import KIB, SIZE_COLUMN, find_common_value
from bench.stats.intervals import Estimate, estimate_median
from bench.stats.summary import is_cell_valid, select_shown_trials
from transports.security import LEVELS

LEVEL_CHARTS: Mapping[str, tuple[str, ...]] = {
    "security": ("security",),
    "durability": ("store", "durability"),
    "product": ("product",),
    "client": ("client",),
    "interpreter": ("interpreter",),
}
"""The charts' names, and the columns of trials.csv whose levels go together."""
HEADINGS: Mapping[str, str] = {
    "security": "What security costs",
    "durability": "What it costs to lose nothing",
    "product": "What the product changes",
    "client": "What the client library changes",
    "interpreter": "What the Python of the services changes",
}
METRIC_ROWS: Mapping[str, tuple[str, float]] = {
    "finish_p50_us": ("Median\ncompletion, ms", 1000),
    "finish_p99_us": ("p99 of\ncompletion, ms", 1000),
    "cpu_us_per_order": ("CPU of services\nand broker, ms", 1000),
    "wire_bytes_per_order": ("On the wire,\nKiB an order", KIB),
}
"""Title, and what the metric is divided by."""
CONNECTIONS_NAME, CONNECTIONS_HEADING = "cold", "What a new connection costs"
CONNECTION_ROWS: Mapping[str, tuple[str, float]] = {
    "cold_us": ("First order on a new\nconnection, ms", 1000),
    "warm_us": ("Next order on\nthe same, ms", 1000),
}
CAPTION = (
    "Medians over {trial}s, hollow of INVALID cells; bars: 95 % intervals; dots: single {trial}s; at the top: orders "
    "that did not finish."
)
CAPTIONS: Mapping[str, str] = {
    "interpreter": f"{CAPTION}\nThe load process has the harness's own Python in every cell.",
    CONNECTIONS_NAME: "Medians over rounds; bars: 95 % intervals; dots: rounds, each the median of 15 new connections.",
}
MAX_METHODS = 8
COLUMNS = ("method", "level", "cell", "metric", "what", "round", "value", "low", "high", "n", "valid")
_DECADE_TICKS_FROM = 200
"""The span of an axis from which it has ticks at powers of ten alone."""
_TRIALS_OFFSET = 0.2
"""How far from its median's place a level's trials stand, in levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPoint:
    """A metric of a cell, which is a level on a method: its trials and their median, in the metric's own unit."""

    method: str
    transport: str
    level: str
    cell: str
    metric: str
    rounds: tuple[int, ...]
    trials: tuple[float, ...]
    median: Estimate
    valid: bool


def draw_charts(trials: pd.DataFrame, *, in_sets: bool = False) -> Iterator[Chart]:
    """Yields each level chart whose levels vary, of trials without a fault. ``in_sets``: they were played in sets."""
    plain, trial = select_fault_free(trials), name_repeat("trial", in_sets=in_sets)
    for factor, columns in LEVEL_CHARTS.items():
        says = "Median completion"
        yield from _draw_chart(
            factor, HEADINGS[factor], says, list(build_points(plain, columns, METRIC_ROWS)), METRIC_ROWS, trial
        )


def draw_connection_charts(cold: pd.DataFrame) -> Iterator[Chart]:
    """Yields the chart "cold" of new connections, from ``Run.cold_starts``; none when that is empty."""
    says = "The median first order on a new connection"
    valid = cold[cold["valid"]] if len(cold) else cold
    by_level = valid.sort_values("security", key=_security_ranks, kind="stable") if len(valid) else valid
    yield from _draw_chart(
        CONNECTIONS_NAME,
        CONNECTIONS_HEADING,
        says,
        list(build_points(by_level, LEVEL_CHARTS["security"], CONNECTION_ROWS)),
        CONNECTION_ROWS,
        "trial",
    )


def _security_ranks(levels: "pd.Series[str]") -> "pd.Series[int]":
    """Ranks levels from the least secure on; the bare echo's come in the shuffled order of the first round."""
    return levels.map({level: rank for rank, level in enumerate(LEVELS)})


def select_fault_free(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials without a fault, with the CPU of services and broker added up as ``cpu_us_per_order``."""
    if trials.empty or "fault" not in trials:
        return trials[:0]
    plain = trials[trials["fault"] == "none"]
    broker = plain["cpu_us_per_order_broker"]
    has_none = plain["product"] == "none" if "product" in plain else broker.isna()
    burnt = plain["cpu_us_per_order_services"] + broker.mask(has_none, 0.0)
    return plain.assign(cpu_us_per_order=burnt)


def _draw_chart(
    name: str, heading: str, says: str, drawn: Sequence[LevelPoint], panels: Mapping[str, tuple[str, float]], trial: str
) -> Iterator[Chart]:
    methods = dict.fromkeys(point.method for point in drawn)
    if not 0 < len(methods) <= MAX_METHODS:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(drawn, list(methods), panels, CAPTIONS.get(name, CAPTION).format(trial=trial))
    first = next(iter(panels))
    yield Chart(
        name=name,
        heading=heading,
        says=f"{says}, level by level: {_describe([point for point in drawn if point.metric == first])}.",
        figure=figure,
        columns=COLUMNS,
        rows=list(build_csv_rows(drawn)),
    )


def build_points(plain: pd.DataFrame, columns: Sequence[str], metrics: Iterable[str]) -> Iterator[LevelPoint]:
    """Yields a point per metric and level, for methods with several levels in ``columns``, in measured order."""
    if plain.empty or not {*columns} <= set(plain):
        return
    others = [name for name in factor_columns() if name in plain and name not in columns]
    if "product" in columns:
        others.remove("client")  # each product has its own
    lines = [
        (dict(zip(others, key, strict=True)), group)
        for key, group in plain.groupby(others, sort=False)
        if len(group[[*columns]].drop_duplicates()) > 1
    ]
    for line, group in lines:
        method = _method_label(line, [one for one, _ in lines], find_common_value(group, "product"))
        for level, cells in group.groupby([*columns], sort=False):
            # A second cell at a level, as an arm of A/A, is no other level.
            cell, measured = next(iter(cells.groupby("cell", sort=False)))
            for metric in metrics:
                kept = select_shown_trials(measured)[["round", metric]].dropna()
                yield LevelPoint(
                    method=method,
                    transport=str(line["transport"]),
                    level=" ".join(map(str, level)),
                    cell=str(cell),
                    metric=metric,
                    rounds=tuple(map(int, kept["round"])),
                    trials=tuple(map(float, kept[metric])),
                    median=estimate_median(kept[metric]),
                    valid=is_cell_valid(measured),
                )


def _method_label(line: Mapping[str, object], lines: Sequence[Mapping[str, object]], product: str) -> str:
    """Returns the name of the method, and on a second line what distinguishes it from the others."""
    apart = [name for name in line if name not in ("transport", "product") and len({one[name] for one in lines}) > 1]
    of_one = [one for one in lines if all(one.get(name) == line.get(name) for name in ("transport", "product"))]
    # A client goes with its method and product, unless these have several.
    apart = [name for name in apart if name != "client" or len({one[name] for one in of_one}) > 1]
    beside = ", ".join(_format_level(name, line[name]) for name in apart)
    return f"{style.format_method_name(str(line['transport']), product)}\n{beside}".rstrip()


def _format_level(name: str, level: object) -> str:
    if name == SIZE_COLUMN:
        return f"{format_number(float(str(level)) / KIB)} KiB"
    if isinstance(level, float):
        return f"{level:g}/s" if name == "rate_per_s" else f"{name} {level:g}"
    return str(level) if isinstance(level, str) else f"{name} {level}"


def build_csv_rows(drawn: Sequence[LevelPoint]) -> Iterator[tuple[object, ...]]:
    """Yields the rows of the CSV beside the figure: a row per median with its interval, and a row per trial."""
    for point in drawn:
        named = (point.method.replace("\n", ", "), point.level, point.cell, point.metric)
        ends = (point.median.value, point.median.low, point.median.high)
        valid = str(point.valid).lower()
        yield (*named, "median", "", *map(format_csv_number, ends), point.median.n, valid)
        for round_, value in zip(point.rounds, point.trials, strict=True):
            yield (*named, "trial", round_, format_csv_number(value), "", "", "", valid)


def _draw_figure(
    drawn: Sequence[LevelPoint], methods: Sequence[str], panels: Mapping[str, tuple[str, float]], caption: str
) -> Figure:
    figure = style.create_figure(max(9.0, 0.9 + 1.6 * len(methods)), 0.8 + 1.6 * len(panels))
    grid = figure.subplots(len(panels), len(methods), sharex="col", sharey="row", squeeze=False)
    for axes_row, (metric, (heading, unit)) in zip(grid, panels.items(), strict=True):
        of_metric = [point for point in drawn if point.metric == metric]
        low, high = _axis_limits([value / unit for point in of_metric for value in point.trials])
        for axes, method in zip(axes_row, methods, strict=True):
            style.style_panel(axes, method if axes in grid[0] else "")
            axes.set_yscale("log")
            style.set_log_scale(axes.yaxis, (1, 2, 5) if high / low < _DECADE_TICKS_FROM else (1,))
            axes.set_ylim(low, high)
            axes.tick_params(axis="y", length=0)
            _draw_line(axes, [point for point in of_metric if point.method == method], unit)
        axes_row[0].set_ylabel(f"{heading} (log)", fontsize=9)
    style.add_caption(
        figure,
        f"{caption}\nAlong a row all have one axis.",
    )
    return figure


def _axis_limits(values: Sequence[float]) -> tuple[float, float]:
    """Returns the limits of the axis that a row of panels shares, wide enough for two ticks."""
    finite = [value for value in values if 0 < value < math.inf] or [1.0]
    low, high = min(finite), max(finite)
    wider = max(1.25, math.sqrt(4 * low / high))
    return low / wider, high * wider


def _draw_line(axes: Axes, points: Sequence[LevelPoint], unit: float) -> None:
    top = axes.get_ylim()[1]

    def at(value: float | None) -> float:
        return math.nan if value is None else min(value / unit, top)

    colour = style.colour(points[0].transport)
    places = range(len(points))
    axes.set_xticks(places, [point.level.replace(" ", "\n").replace("-", "-\n") for point in points], fontsize=8.5)
    axes.set_xlim(-0.5, len(points) - 0.5 + _TRIALS_OFFSET)
    axes.plot(places, [at(point.median.value) for point in points], color=colour, linewidth=1, zorder=2)
    for valid in {point.valid for point in points}:
        axes.plot(
            places,
            [at(point.median.value) if point.valid is valid else math.nan for point in points],
            color=colour,
            marker=style.marker(points[0].transport),
            markerfacecolor=colour if valid else "white",
            markersize=5.5,
            linestyle="none",
            zorder=4,
            clip_on=False,
        )
    bars = [(place, at(p.median.low), at(p.median.high)) for place, p in enumerate(points) if p.median.low is not None]
    axes.vlines(*np.reshape(bars, (-1, 3)).T, color=colour, alpha=0.35, linewidth=4, zorder=3)
    dots = [(place + _TRIALS_OFFSET, at(value)) for place, point in enumerate(points) for value in point.trials]
    axes.plot(
        *np.reshape(dots, (-1, 2)).T,
        color=colour,
        marker="o",
        markersize=2.8,
        alpha=0.45,
        markeredgewidth=0,
        linestyle="none",
        zorder=3,
    )


def _format_ms(value_us: float | None) -> str:
    return "unknown" if value_us is None else f"{format_number(value_us / 1000)} ms"


def _describe(told: Sequence[LevelPoint]) -> str:
    """Describes the medians level by level, for readers who cannot see the chart."""
    parts = []
    for method in dict.fromkeys(point.method for point in told):
        of_method = [point for point in told if point.method == method]
        said = ", ".join(f"{point.level} {_format_ms(point.median.value)}" for point in of_method)
        parts.append(f"{method.replace(chr(10), ', ')} {said}")
    return "; ".join(parts)
