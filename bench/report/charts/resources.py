"""What an order costs: CPU by who burns it, and bytes on the wire by where they pass."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report import style
from bench.report.charts.chart import Chart, number
from bench.report.formatting import as_number, digits
from bench.report.wording import counted

NAME = "costs"
MOST_ROWS = 24
PARTS: Mapping[str, str] = {"services": "the four services", "broker": "the broker", "driver": "the load process"}
WIRE = "wire_bytes_per_order"
NONE = "none"
"""The product of a method without a server of its own."""
COLUMNS = ("cell", "what", "component", "median", "low", "high", "trials")


def charts(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> Iterator[Chart]:
    """costs, from a summary's cells and their products; nothing where no cost is known, or of too many."""
    known = [cell for cell in cells if any(_known(cell, name) for name in (*_cpu(), WIRE))]
    if not 0 < len(known) <= MOST_ROWS:
        return
    with mpl.rc_context(style.SETTINGS):
        figure = _figure(known, products)
    yield Chart(
        name=NAME,
        heading="What an order costs",
        says=_sentence(known, products),
        figure=figure,
        columns=COLUMNS,
        rows=list(_rows(known, products)),
    )


def _cpu() -> Iterator[str]:
    yield from (f"cpu_us_per_order_{part}" for part in PARTS)


def _carried_by(cell: Mapping[str, Any], products: Mapping[str, str]) -> str:
    """Whose ports all bytes of a cell pass."""
    return "services" if products.get(cell["cell"], NONE) == NONE else "broker"


def _known(cell: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return counted(cell["metrics"].get(name))


def _cpu_ms(cell: Mapping[str, Any], products: Mapping[str, str]) -> Mapping[str, float]:
    """By part; nothing where a part that the method has is not known, since the others are no whole."""
    has_broker = products.get(cell["cell"], NONE) != NONE
    known = {part: _known(cell, f"cpu_us_per_order_{part}") for part in PARTS if part != "broker" or has_broker}
    found = {part: as_number(metric["estimate"]) / 1000 for part, metric in known.items() if metric is not None}
    return found if len(found) == len(known) else {}


def _rows(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> Iterator[tuple[object, ...]]:
    for cell in cells:
        for name in (*_cpu(), WIRE):
            if metric := _known(cell, name):
                ends = (None if metric[end] is None else as_number(metric[end]) for end in ("estimate", "low", "high"))
                component = _carried_by(cell, products) if name == WIRE else name.rpartition("_")[2]
                yield (cell["cell"], name, component, *map(number, ends), metric["n"])


def _figure(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> Figure:
    figure = style.blank(9, 1.7 + 0.42 * len(cells))
    cpu, wire = figure.subplots(1, 2, sharey=True)
    style.panel(cpu, "CPU, milliseconds an order", "x")
    style.panel(wire, "On the wire, KiB an order", "x")
    for row, cell in enumerate(cells):
        left = 0.0
        for part, width in _cpu_ms(cell, products).items():
            cpu.barh([row], [width], left=[left], height=0.6, color=style.COMPONENTS[part], linewidth=0)
            left += width
        _value(cpu, row, left or None)
        metric = _known(cell, WIRE)
        kib = None if metric is None else as_number(metric["estimate"]) / 1024
        component = style.COMPONENTS[_carried_by(cell, products)]
        wire.barh([row], [kib or 0.0], height=0.6, color=component, linewidth=0)
        _value(wire, row, kib)
    for axes in (cpu, wire):
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
    labels = [f"{style.title(cell['cell'], cell['transport'])}, {cell['codec']}" for cell in cells]
    cpu.set_yticks(range(len(cells)), labels, fontsize=9.5)
    cpu.set_ylim(len(cells) - 0.5, -0.5)
    handles = [Patch(facecolor=style.COMPONENTS[part], label=said) for part, said in PARTS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(PARTS), frameon=False, fontsize=9.5)
    style.caption(
        figure,
        "Medians over trials. CPU has what idling burns in it. Bytes are TCP payload in both directions: all of a "
        "method's\npass the services' ports, or all the broker's, as the colour says.",
    )
    return figure


def _value(axes: Axes, row: int, value: float | None) -> None:
    axes.annotate(
        "n/a" if value is None else digits(value),
        (value or 0.0, row),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9,
        color=style.MUTED if value is None else style.INK,
    )


def _sentence(cells: Sequence[Mapping[str, Any]], products: Mapping[str, str]) -> str:
    parts = []
    for cell in cells:
        known = _cpu_ms(cell, products)
        said = f"{digits(sum(known.values()))} ms" if known else "not known"
        parts.append(f"{style.title(cell['cell'], cell['transport'])} {said}")
    return f"CPU of an order, of services, broker and load process together: {'; '.join(parts)}."
