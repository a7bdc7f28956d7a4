"""The house style, in one place: colours, markers, numbers and how figures are saved."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

COLOURS: Mapping[str, str] = {"rest": "#0072B2", "grpc": "#D55E00", "broker": "#009E73", "events": "#CC79A7"}
"""Okabe and Ito's palette for the colour-blind; each has a contrast of 3:1 or more on white."""
MARKERS: Mapping[str, str] = {"rest": "o", "grpc": "s", "broker": "^", "events": "D"}
_OTHER_COLOUR, _OTHER_MARKER = "#5A5F66", "P"
DASHES = ("-", "--", ":", "-.")
INK, MUTED, RULE = "#14171A", "#5A5F66", "#E3E6E9"

PRODUCTS: Mapping[str, str] = {"rest": "REST", "grpc": "gRPC", "broker": "RabbitMQ", "events": "Kafka"}
"""How people know the methods."""
_OVER = {"rabbitmq": "RabbitMQ", "kafka": "Kafka"}

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


def log_scale(axis: Axis) -> None:
    """Ticks at 1, 2 and 5, written out."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def ratio_scale(axis: Axis, values: Sequence[float]) -> None:
    """Around 1: ticks as close as what is shown needs them."""
    farthest = max((max(value, 1 / value) for value in values), default=1.0)
    steps = _CLOSE if farthest < CLOSE else _NEAR if farthest < NEAR else _FAR
    axis.set_major_locator(FixedLocator(steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


CLOSE, NEAR = 1.3, 3.0
_CLOSE = (0.8, 0.9, 1, 1.1, 1.2)
_NEAR = (0.4, 0.5, 0.7, 1, 1.5, 2)
_FAR = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def title(cell: str, transport: str) -> str:
    """A cell's name as a person would say it: "gRPC", "gRPC+json", "REST:httpx", "events on RabbitMQ"."""
    behind = cell.removeprefix(transport)
    for product, name in _OVER.items():
        if f"+{product}" in behind:
            return f"{transport} on {name}{behind.replace(f'+{product}', '', 1)}"
    return PRODUCTS.get(transport, transport) + behind


def save(figure: Figure, folder: Path, name: str, *, heading: str, description: str) -> None:
    """Write NAME.svg and NAME.png (twice the size) to ``folder``: same figure, same bytes. Raises OSError.

    ``description`` is the sentence that a sighted reader takes away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Ids in an SVG come from the salt: fixed, so that bytes repeat, and per figure, so that two can share a page.
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
    head, _, rest = drawn.getvalue().partition("<svg ")
    attributes, _, body = rest.partition(">")
    accessible = (
        f'{head}<svg role="img" aria-labelledby="{name}-title {name}-desc" {attributes}>\n'
        f' <title id="{name}-title">{escape(heading)}</title>\n'
        f' <desc id="{name}-desc">{escape(description)}</desc>{body}'
    )
    (folder / f"{name}.svg").write_text(accessible, "utf-8")


def export(folder: Path, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """What is drawn, as NAME.csv beside it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
