"""Defines a chart: a figure with its sentence and data, saved as SVG, PNG and CSV."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bench.report import style

_ID = re.compile(r' id="([^"]+)"')
_REFERENCED_ID = re.compile(r'(?:url\(#|href="#)([^)"]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure with its heading, the sentence that describes it and the rows that are drawn."""

    name: str
    """The name of its files, and the beginning of every id in its SVG, so that two charts can share a page."""
    heading: str
    says: str
    """The sentence that a sighted reader takes away."""
    figure: Figure
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def of(self, run: str) -> "Chart":
        """Returns the same chart named after its run, for a report of several runs."""
        return replace(self, name=f"{run}-{self.name}")

    def save(self, folder: Path) -> str:
        """Write NAME.svg, NAME.png (twice the size) and NAME.csv: same chart, same bytes; the SVG is returned.

        Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.figure.draw_without_rendering()
        for axes in self.figure.get_axes():
            for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
                line.set_clip_on(False)  # they end where the axes do
        self.figure.set_layout_engine("none")  # it is laid out: both files have the same, and it is not done again
        # matplotlib names clip paths and markers by their content and this salt.
        with mpl.rc_context({**style.RC_PARAMS, "svg.hashsalt": self.name}):
            drawn = io.StringIO()
            self.figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
            self._save_png(folder / f"{self.name}.png")
        svg = self._accessible(drawn.getvalue())
        (folder / f"{self.name}.svg").write_text(svg, "utf-8")
        with (folder / f"{self.name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self.rows)
        return svg

    def _save_png(self, path: Path) -> None:
        """Saves the PNG with a palette of 256 colours, which takes a third of the bytes."""
        self.figure.set_dpi(200)
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        drawn.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)

    def _accessible(self, svg: str) -> str:
        """Returns the SVG with a role, a title and a sentence, and without unused ids, which every figure has alike."""
        used = set(_REFERENCED_ID.findall(svg))
        svg = _ID.sub(lambda found: found[0] if found[1] in used else "", svg)
        head, _, rest = svg.partition("<svg ")
        attributes, _, body = rest.partition(">")
        return (
            f'{head}<svg role="img" aria-labelledby="{self.name}-title {self.name}-desc" {attributes}>\n'
            f' <title id="{self.name}-title">{escape(self.heading)}</title>\n'
            f' <desc id="{self.name}-desc">{escape(self.says)}</desc>{body}'
        )


def save_charts(charts: Iterable[Chart], folder: Path) -> None:
    """Saves all charts to ``folder``. Raises OSError."""
    for chart in charts:
        chart.save(folder)


def format_csv_number(value: float | None) -> str:
    """Formats a number for a chart's CSV: six significant digits, empty for None."""
    return "" if value is None else f"{value:.6g}"
