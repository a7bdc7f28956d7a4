"""`fourways doctor`: what is here, what is missing, and what to type."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.cli.servers import paths_of
from bench.errors import MissingServer
from bench.provision.doctor import run_checks

COLOURS = {"ok": "green", "missing": "red", "note": "yellow", "-": "dim"}


def run(asked: Asked) -> None:
    """Print what was found. Raises MissingServer when one of the four methods cannot run."""
    paths = paths_of(asked)
    findings, cannot = run_to_end(lambda: run_checks(paths.given, paths.home))
    if asked.json:
        print_json({"findings": findings, "cannot_run": cannot})
    else:
        table = Table("", "", "what it is, or what to type", box=None, pad_edge=False)
        for finding in findings:
            colour = COLOURS[finding.state]
            table.add_row(finding.what, f"[{colour}]{finding.state}[/{colour}]", escape(finding.detail))
        console = Console(highlight=False)
        console.print(table)
        if not cannot:
            console.print("\nall four methods can run: `make bench`")
    if cannot:
        raise MissingServer(f"cannot run: {', '.join(cannot)}; the table says what to type", code="methods-missing")
