"""`fourways show`: the tables of a kept run, computed anew from its trials; its folder is left alone."""

from bench.cli.arguments import Asked
from bench.results.lookup import find_run_folder


def run(asked: Asked) -> None:
    """Print a run's tables, or its summary as JSON. Raises UsageError, ResultsError."""
    folder = find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.cli.output import print_json, print_run  # noqa: PLC0415
    from bench.results.store import RunFolder  # noqa: PLC0415

    kept = RunFolder.open(folder)
    if asked.json:
        print_json(kept.summary())
    else:
        print_run(kept, Console())
