"""`fourways hops`: where an order's time went, by service and part."""

from rich.console import Console

from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.errors import ResultsError
from bench.report.terminal.run import hops_table
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print the steps of sampled orders in each cell. Raises UsageError, ResultsError."""
    folder = find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))
    found = RunFolder.open(folder).hops()
    if found.empty:
        raise ResultsError(
            f"{folder} has no stamps; measure with TRACE_EVERY=20 or another number but 0", code="no-stamps"
        )
    if asked.json:
        print_json(found)
    else:
        Console().print(hops_table(found))
