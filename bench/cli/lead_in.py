"""`fourways harness lead-in`: how slow the first orders of a slice are, and so how long a lead-in has to be."""

from rich.console import Console

from bench.calibration.lead_in import lead_in_table, measure_lead_in
from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print a row for each cell and stretch of its slices. Raises UsageError, ResultsError."""
    rows = measure_lead_in(RunFolder.open(find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))))
    if asked.json:
        print_json(rows)
    else:
        Console().print(lead_in_table(rows))
