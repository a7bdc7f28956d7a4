"""`fourways compare`: two runs side by side, and the ratio of B to A."""

from rich.console import Console

from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.report.terminal.compare import render_comparison
from bench.results.compare import compare_runs
from bench.results.lookup import find_two_runs
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print what differs in two runs. Raises UsageError when they cannot be compared, ResultsError."""
    folders = find_two_runs(asked.words.get("A", ""), asked.words.get("B", ""), asked.path("RESULTS"))
    a, b = map(RunFolder.open, folders)
    comparison = compare_runs(a, b)
    if asked.json:
        print_json(comparison)
    else:
        Console().print(render_comparison(comparison), highlight=False)
