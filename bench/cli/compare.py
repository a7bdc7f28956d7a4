"""`fourways compare`: two runs side by side, and each cell beside a reference that both have."""

from bench.cli.arguments import Asked
from bench.results.lookup import find_two_runs


def run(asked: Asked) -> None:
    """Print what differs in two runs. Raises UsageError when they cannot be compared, ResultsError."""
    folders = find_two_runs(asked.words.get("A", ""), asked.words.get("B", ""), asked.path("RESULTS"))
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.cli.output import print_json  # noqa: PLC0415
    from bench.report.terminal.compare import render_comparison  # noqa: PLC0415
    from bench.results.compare import compare_runs  # noqa: PLC0415
    from bench.results.store import RunFolder  # noqa: PLC0415

    a, b = map(RunFolder.open, folders)
    comparison = compare_runs(a, b)
    if asked.json:
        print_json(comparison)
    else:
        Console().print(render_comparison(comparison), highlight=False)
