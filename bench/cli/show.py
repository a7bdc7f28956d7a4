"""`fourways show`: the tables of a run, as it printed them when it was measured."""

from rich.console import Console

from bench.cli.arguments import Asked
from bench.cli.output import print_json, print_run
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print a run's tables, or its summary as JSON. Raises UsageError, ResultsError."""
    kept = RunFolder.open(find_run_folder(str(asked.value("RUN")), asked.path("RESULTS")))
    if asked.json:
        print_json(kept.summary())
    else:
        print_run(kept, Console())
