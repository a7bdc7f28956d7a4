"""Writes the report page of one or more runs from their folders of results.

`make report` calls it, and `make bench` and `make study` end with it.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.advise.html import render_fragments
from bench.errors import ResultsError
from bench.report.page import draw_sections, write_page
from bench.report.run_view import read_run_view
from bench.results.durable_files import explain_os_errors


def write_report(paths: Sequence[Path], folder: Path) -> Path:
    """Writes the page of all runs to ``folder`` and returns its path.

    Raises ResultsError when a run cannot be shown at all, or two runs have the same name.
    """
    readings = [read_run_view(path) for path in paths]
    names = [reading.name for reading in readings]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ResultsError(
            f"two runs are called {min(twice)}; a report names its runs by their folders, each once",
            code="two-runs-of-one-name",
        )
    with explain_os_errors(folder):
        drawing = draw_sections(readings, folder)
        drawn = {chart.name: chart.rows for section in drawing.sections for chart in section.charts}
        picked = render_fragments({reading.name: reading.run.path for reading in readings}, drawn)
        if picked is None:
            return write_page(readings, folder, drawing=drawing)
        return write_page(
            readings,
            folder,
            drawing=drawing,
            claims=picked.claims,
            chooser=picked.chooser,
            script=picked.script,
        )
