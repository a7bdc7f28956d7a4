"""Draws what an order costs: CPU by process, and bytes on the wire."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report import style
from bench.report.charts.chart import Chart, format_csv_number
from bench.report.formatting import format_number, parse_number
from bench.report.wording import nonzero_or_none
from bench.results.repeats import describe_middle

NAME = "costs"
MAX_ROWS = 24
PARTS: Mapping[str, str] = {"services": "the four services", "broker": "the broker", "driver": "the load process"}
WIRE_METRIC = "wire_bytes_per_order"
NO_PRODUCT = "none"
"""The product of a method without a server of its own."""
COLUMNS = ("cell", "what", "component", "median", "low", "high", "trials")


def draw_charts(
    cells: Sequence[Mapping[str, Any]], products: Mapping[str, str], *, in_sets: bool = False
) -> Iterator[Chart]:
    """Yields the chart "costs" of a summary's cells; none where no cost is known, or for over MAX_ROWS cells.

    ``in_sets``: the run was played in sets.
    """
    known = [cell for cell in cells if any(_known_metric(cell, name) for name in (*_cpu_metrics(), WIRE_METRIC))]
    if not 0 < len(known) <= MAX_ROWS:
        return
    with mpl.rc_context(style.RC_PARAMS):
        figure = _draw_figure(known, products, in_sets)
    yield Chart(
        name=NAME,
        heading="What an order costs",
        says=_describe(known, products),
        figure=figure,
        columns=COLUMNS,
        rows=list(_csv_rows(known, products)),
    )


def _cpu_metrics() -> Iterator[str]:
    yield from (f"cpu_us_per_order_{part}" for part in PARTS)


def _wire_component(cell: Mapping[str, Any], products: Mapping[str, str]) -> str:
    """Returns the owner of the ports that all bytes of a cell pass: "services" or "broker"."""
    return "services" if products.get(cell["cell"], NO_PRODUCT) == NO_PRODUCT else "broker"


def _known_metric(cell: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return nonzero_or_none(cell["metrics"].get(name))


def _cpu_ms_by_part(cell: Mapping[str, Any], products: Mapping[str, str]) -> Mapping[str, float]:
    """Returns milliseconds of CPU by part; empty where a part that the method has was not measured."""
    has_broker = products.get(cell["cell"], NO_PRODUCT) != NO_PRODUCT
    known = {part: _known_metric(cell, f"cpu_us_per_order_{part}") for part in PARTS if part != "broker" or has_broker}
    found = {part: parse_number(metric["estimate"]) / 1000 for part, metric in known.items() if metric is not None}
    return found if len(found) == len(known) else {}


def _csv_rows(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> Iterator[tuple[object, ...]]:
    for cell in cells:
        for name in (*_cpu_metrics(), WIRE_METRIC):
            if metric := _known_metric(cell, name):
                ends = (
                    None if metric[end] is None else parse_number(metric[end]) for end in ("estimate", "low", "high")
                )
                component = _wire_component(cell, products) if name == WIRE_METRIC else name.rpartition("_")[2]
                yield (cell["cell"], name, component, *map(format_csv_number, ends), metric["n"])


def _draw_figure(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str], in_sets: bool) -> Figure:
    figure = style.create_figure(9, 1.7 + 0.42 * len(cells))
    cpu, wire = figure.subplots(1, 2, sharey=True)
    style.style_panel(cpu, "CPU, milliseconds an order", "x")
    style.style_panel(wire, "On the wire, KiB an order", "x")
    for row, cell in enumerate(cells):
        left = 0.0
        for part, width in _cpu_ms_by_part(cell, products).items():
            cpu.barh([row], [width], left=[left], height=0.6, color=style.COMPONENT_COLOURS[part], linewidth=0)
            left += width
        _draw_value(cpu, row, left or None)
        metric = _known_metric(cell, WIRE_METRIC)
        kib = None if metric is None else parse_number(metric["estimate"]) / 1024
        component = style.COMPONENT_COLOURS[_wire_component(cell, products)]
        wire.barh([row], [kib or 0.0], height=0.6, color=component, linewidth=0)
        _draw_value(wire, row, kib)
    for axes in (cpu, wire):
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
    labels = [f"{style.format_cell_name(cell['cell'], cell['transport'])}, {cell['codec']}" for cell in cells]
    cpu.set_yticks(range(len(cells)), labels, fontsize=9.5)
    cpu.set_ylim(len(cells) - 0.5, -0.5)
    handles = [Patch(facecolor=style.COMPONENT_COLOURS[part], label=said) for part, said in PARTS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(PARTS), frameon=False, fontsize=9.5)
    style.add_caption(
        figure,
        f"{describe_middle(in_sets=in_sets)}. CPU has what idling burns in it. Bytes are TCP payload in both "
        "directions: all of a method's\npass the services' ports, or all the broker's, as the colour says.",
    )
    return figure


def _draw_value(axes: Axes, row: int, value: float | None) -> None:
    axes.annotate(
        "n/a" if value is None else format_number(value),
        (value or 0.0, row),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9,
        color=style.MUTED if value is None else style.INK,
    )


def _describe(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> str:
    parts = []
    for cell in cells:
        known = _cpu_ms_by_part(cell, products)
        said = f"{format_number(sum(known.values()))} ms" if known else "not known"
        parts.append(f"{style.format_cell_name(cell['cell'], cell['transport'])} {said}")
    return f"CPU of an order, of services, broker and load process together: {'; '.join(parts)}."
