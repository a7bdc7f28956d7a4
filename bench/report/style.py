"""Defines the look of charts: colours, markers, axes, labels and names of methods."""

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
COMPONENT_COLOURS: Mapping[str, str] = {
    "transfer": "#6B7A90",
    "wait": "#9A6FB0",
    "handle": "#B07A3C",
    "store": "#4F9AA8",
    "services": "#6B7A90",
    "broker": "#9A6FB0",
    "driver": "#B07A3C",
}
"""Colours of the parts of an order's time and CPU; no method has one of them."""
DASHES = ("-", "--", ":", "-.")
INK, MUTED, RULE = "#14171A", "#5A5F66", "#E3E6E9"
NEVER_COLOUR = "#B3261E"
"""The colour of a value that never came, where colour is a scale."""

METHOD_NAMES: Mapping[str, str] = {
    "rest": "REST",
    "grpc": "gRPC",
    "broker": "RabbitMQ",
    "events": "Kafka",
    "echo": "a bare echo",
}
"""The names of the methods, and of the bare echo beside which connections are measured."""
_BACKEND_NAMES = {"rabbitmq": "RabbitMQ", "kafka": "Kafka"}
_DEFAULT_BACKENDS = {"broker": "rabbitmq", "events": "kafka"}
"""The backend that a method's name leaves out, for methods with several."""

RC_PARAMS: Any = {
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


def style_panel(axes: Axes, heading: str, grid: Literal["x", "y", "both"] = "y") -> None:
    """Sets the title of axes at the left, and draws grid lines behind the data."""
    axes.set_title(heading, loc="left", fontsize=10.5, fontweight="bold", pad=8)
    axes.grid(axis=grid, linewidth=0.8)
    axes.set_axisbelow(True)


def create_figure(width: float, height: float) -> Figure:
    """Returns an empty white figure of this width and height in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def add_caption(figure: Figure, text: str) -> None:
    """Adds the caption below a figure: what its marks mean, and how much data stands behind them."""
    figure.supxlabel(text, fontsize=8.5, color=MUTED, x=0.012, ha="left")


def space_out(places: Sequence[float], least: float) -> list[float]:
    """Returns places for labels near ``places``, in the same order, with at least ``least`` from one to the next."""
    rising = sorted(range(len(places)), key=lambda at: places[at])
    blocks: list[tuple[float, list[int]]] = []
    for at in rising:
        blocks.append((places[at], [at]))
        # Those that would touch become one block around their common middle.
        while len(blocks) > 1 and _block_end(blocks[-2], least, 1) + least > _block_end(blocks[-1], least, -1):
            (_, first), (_, second) = blocks[-2:]
            both = first + second
            blocks[-2:] = [(sum(places[one] for one in both) / len(both), both)]
    found = list(places)
    for middle, members in blocks:
        for nth, at in enumerate(members):
            found[at] = middle + (nth - (len(members) - 1) / 2) * least
    return found


def _block_end(block: tuple[float, list[int]], least: float, side: int) -> float:
    middle, members = block
    return middle + side * (len(members) - 1) / 2 * least


def label_line_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes names beside the right ends of lines, without overlap: x, y, text and the line's colour.

    The limits and scales of ``axes`` have to be final.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # so that it has its place
    rows = [axes.transData.transform((x, y))[1] for x, y, _, _ in ends]
    # Points of 1/72 inch, at the figure's own resolution of 100 to the inch.
    for (x, y, text, colour_), row, place in zip(ends, rows, space_out(rows, LABEL_HEIGHT_PX), strict=True):
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


LABEL_HEIGHT_PX = 17.0


def set_log_scale(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Sets ticks at 1, 2 and 5 of each power of ten, or at ``subs``, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def set_ratio_scale(axis: Axis, values: Sequence[float]) -> None:
    """Sets ticks around 1, as close to one another as the ``values`` shown need them."""
    farthest = max((max(value, 1 / value) for value in values), default=1.0)
    steps = next(steps for reach, steps in _TICKS_BY_RATIO if farthest < reach)
    axis.set_major_locator(FixedLocator(steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


CLOSE_RATIO, NEAR_RATIO = 1.3, 3.0
_CLOSE_TICKS = (0.8, 0.9, 1, 1.1, 1.2)
_NEAR_TICKS = (0.5, 0.7, 1, 1.5, 2)
_FAR_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
_DECADE_TICKS = (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1e3, 1e4)
_TICKS_BY_RATIO = (
    (CLOSE_RATIO, _CLOSE_TICKS),
    (NEAR_RATIO, _NEAR_TICKS),
    (12.0, _FAR_TICKS),
    (math.inf, _DECADE_TICKS),
)


def format_cell_name(cell: str, transport: str = "") -> str:
    """Returns the name of a cell as people say it: "gRPC", "gRPC+json", "REST:httpx", "events on RabbitMQ".

    Without ``transport``, it is what stands in ``cell`` before the first of ":", "+" and "@".
    """
    transport = transport or re.split(r"[:+@]", cell)[0]
    behind = cell.removeprefix(transport)
    for backend, name in _BACKEND_NAMES.items():
        if f"+{backend}" in behind:
            return f"{transport} on {name}{behind.replace(f'+{backend}', '', 1)}"
    return METHOD_NAMES.get(transport, transport) + behind


def format_method_name(transport: str, backend: str) -> str:
    """Returns the name of a method over a backend.

    With its own backend that is the name people know ("RabbitMQ"); with several ("") the transport's own, as "broker".
    """
    own = _DEFAULT_BACKENDS.get(transport)
    if own is None or backend == own:
        return METHOD_NAMES.get(transport, transport)
    return format_cell_name(f"{transport}+{backend}", transport) if backend else transport
