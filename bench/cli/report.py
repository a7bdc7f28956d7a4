"""`fourways report`: draw the report of one run or several."""

import os
from pathlib import Path

from bench.cli.arguments import Asked
from bench.results.lookup import find_run_folder


def run(asked: Asked) -> None:
    """Write report.html, report.md and charts/, and print where. Raises UsageError, ResultsError."""
    names = [name.strip() for name in str(asked.value("RUN")).split(",")]
    folders = [find_run_folder(name, asked.path("RESULTS")) for name in names]
    from bench.advise.report import write_report  # noqa: PLC0415 - a typo has been told by now

    out = Path(asked.words["OUT"]) if "OUT" in asked.words else folders[0]
    print(os.path.relpath(write_report(folders, out)))
