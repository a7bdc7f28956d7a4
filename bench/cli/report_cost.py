"""`fourways harness report-cost`: the seconds and the memory that a report takes."""

import tempfile
from pathlib import Path

from rich.console import Console

from bench.calibration.report_cost import measure_reports, report_cost_table
from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print a row for each report. Raises UsageError, ResultsError."""
    kept = RunFolder.open(find_run_folder(str(asked.value("RUN")), asked.path("RESULTS")))
    with tempfile.TemporaryDirectory() as folder:
        costs = dict(measure_reports(kept, Path(folder)))
    if asked.json:
        print_json(costs)
    else:
        Console().print(report_cost_table(costs.items()))
