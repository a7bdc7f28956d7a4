"""`fourways hops`: where an order's time went, by service and part."""

from bench.cli.arguments import Asked
from bench.errors import ResultsError
from bench.results.lookup import find_run_folder


def run(asked: Asked) -> None:
    """Print the steps of sampled orders in each cell. Raises UsageError, ResultsError."""
    folder = find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.cli.output import print_json  # noqa: PLC0415
    from bench.report.terminal.hops import hops_table  # noqa: PLC0415
    from bench.results.store import RunFolder  # noqa: PLC0415

    run = RunFolder.open(folder)
    found = run.hops()
    if found.empty:
        raise ResultsError(
            f"{folder} has no stamps; measure with TRACE_EVERY=20 or another number but 0", code="no-stamps"
        )
    if asked.json:
        print_json(found)
    else:
        Console().print(hops_table(found, in_sets=run.has_sets))
