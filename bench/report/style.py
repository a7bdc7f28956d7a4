"""The house style, in one place: colours, markers, axes and how methods are called."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

COLOURS: Mapping[str, str] = {"rest": "#0072B2", "grpc": "#D55E00", "broker": "#009E73", "events": "#CC79A7"}
"""Okabe and Ito's palette for the colour-blind; each has a contrast of 3:1 or more on white."""
MARKERS: Mapping[str, str] = {"rest": "o", "grpc": "s", "broker": "^", "events": "D"}
_OTHER_COLOUR, _OTHER_MARKER = "#5A5F66", "P"
COMPONENTS: Mapping[str, str] = {
    "transfer": "#6B7A90",
    "wait": "#9A6FB0",
    "handle": "#B07A3C",
    "store": "#4F9AA8",
    "services": "#6B7A90",
    "broker": "#9A6FB0",
    "driver": "#B07A3C",
}
"""Of what an order's time and its CPU are made of, and no method's colour."""
DASHES = ("-", "--", ":", "-.")
INK, MUTED, RULE = "#14171A", "#5A5F66", "#E3E6E9"
NEVER = "#B3261E"
"""What did not come, where colour is a scale."""

PRODUCTS: Mapping[str, str] = {
    "rest": "REST",
    "grpc": "gRPC",
    "broker": "RabbitMQ",
    "events": "Kafka",
    "echo": "a bare echo",
}
"""How people know the methods, and what connections are measured beside."""
_OVER = {"rabbitmq": "RabbitMQ", "kafka": "Kafka"}
_OWN = {"broker": "rabbitmq", "events": "kafka"}
"""The product that goes without saying, of methods that may run over several."""

SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same bytes on every machine
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "svg.fonttype": "none",
}


def colour(transport: str) -> str:
    return COLOURS.get(transport, _OTHER_COLOUR)


def marker(transport: str) -> str:
    return MARKERS.get(transport, _OTHER_MARKER)


def panel(axes: Axes, heading: str, grid: Literal["x", "y", "both"] = "y") -> None:
    """A title at the left, and lines behind what is drawn."""
    axes.set_title(heading, loc="left", fontsize=10.5, fontweight="bold", pad=8)
    axes.grid(axis=grid, linewidth=0.8)
    axes.set_axisbelow(True)


def blank(width: float, height: float) -> Figure:
    """Inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def caption(figure: Figure, text: str) -> None:
    """What marks mean and how much stands behind them, below everything."""
    figure.supxlabel(text, fontsize=8.5, color=MUTED, x=0.012, ha="left")


def spaced(places: Sequence[float], least: float) -> list[float]:
    """Where labels go that want to be at ``places`` and need ``least`` between one and the next, in the same order."""
    rising = sorted(range(len(places)), key=lambda at: places[at])
    blocks: list[tuple[float, list[int]]] = []
    for at in rising:
        blocks.append((places[at], [at]))
        # Those that would touch become one block around their common middle.
        while len(blocks) > 1 and _reaches(blocks[-2], least, 1) + least > _reaches(blocks[-1], least, -1):
            (_, first), (_, second) = blocks[-2:]
            both = first + second
            blocks[-2:] = [(sum(places[one] for one in both) / len(both), both)]
    found = list(places)
    for middle, members in blocks:
        for nth, at in enumerate(members):
            found[at] = middle + (nth - (len(members) - 1) / 2) * least
    return found


def _reaches(block: tuple[float, list[int]], least: float, side: int) -> float:
    middle, members = block
    return middle + side * (len(members) - 1) / 2 * least


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside the right ends of lines, apart from one another: x, y, text and the line's colour.

    Limits and scales of ``axes`` are to be final.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # so that it has its place
    rows = [axes.transData.transform((x, y))[1] for x, y, _, _ in ends]
    # Points of 1/72 inch, at the figure's own resolution of 100 to the inch.
    for (x, y, text, colour_), row, place in zip(ends, rows, spaced(rows, LABEL_PX), strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(9, (place - row) * 72 / 100),
            textcoords="offset points",
            va="center",
            fontsize=9,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": colour_, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3},
        )


LABEL_PX = 17.0


def log_scale(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks at 1, 2 and 5, or at these, written out."""
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def ratio_scale(axis: Axis, values: Sequence[float]) -> None:
    """Around 1: ticks as close as what is shown needs them."""
    farthest = max((max(value, 1 / value) for value in values), default=1.0)
    steps = next(steps for reach, steps in _STEPS if farthest < reach)
    axis.set_major_locator(FixedLocator(steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


CLOSE, NEAR = 1.3, 3.0
_CLOSE = (0.8, 0.9, 1, 1.1, 1.2)
_NEAR = (0.5, 0.7, 1, 1.5, 2)
_FAR = (0.1, 0.2, 0.5, 1, 2, 5, 10)
_DECADES = (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1e3, 1e4)
_STEPS = ((CLOSE, _CLOSE), (NEAR, _NEAR), (12.0, _FAR), (math.inf, _DECADES))


def title(cell: str, transport: str = "") -> str:
    """A cell's name as a person would say it: "gRPC", "gRPC+json", "REST:httpx", "events on RabbitMQ".

    Without ``transport``, its name is what stands before the first mark.
    """
    transport = transport or re.split(r"[:+@]", cell)[0]
    behind = cell.removeprefix(transport)
    for product, name in _OVER.items():
        if f"+{product}" in behind:
            return f"{transport} on {name}{behind.replace(f'+{product}', '', 1)}"
    return PRODUCTS.get(transport, transport) + behind


def over(transport: str, product: str) -> str:
    """How a method over a product is called; by itself, as "broker", where there are several ("")."""
    own = _OWN.get(transport)
    if own is None or product == own:
        return PRODUCTS.get(transport, transport)
    return title(f"{transport}+{product}", transport) if product else transport
