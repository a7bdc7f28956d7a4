"""From folders of results to a report: what `make report` does, and what `make bench` and `make study` end with."""

from collections.abc import Sequence
from pathlib import Path

from bench.advise.html import fragments
from bench.errors import ResultsError
from bench.report.page import draw, write
from bench.report.run_view import read
from bench.results.durable_files import sentences


def report(paths: Sequence[Path], folder: Path) -> Path:
    """The page, written to ``folder`` from all runs. Raises ResultsError where one of them cannot be shown at all."""
    readings = [read(path) for path in paths]
    names = [reading.name for reading in readings]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ResultsError(
            f"two runs are called {min(twice)}; a report names its runs by their folders, each once",
            code="two-runs-of-one-name",
        )
    with sentences(folder):
        drawing = draw(readings, folder)
        drawn = {chart.name: chart.rows for section in drawing.sections for chart in section.charts}
        picked = fragments({reading.name: reading.run.path for reading in readings}, drawn)
        if picked is None:
            return write(readings, folder, drawing=drawing)
        return write(
            readings,
            folder,
            drawing=drawing,
            claims=picked.claims,
            chooser=picked.chooser,
            script=picked.script,
        )
