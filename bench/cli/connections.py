"""`fourways harness connections`: what a new connection costs at each level of security."""

from rich.console import Console

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.cli.servers import install_brokers_for, paths_of
from bench.profile.loader import load_profile
from bench.report.terminal.connections import print_connections_table
from bench.runner.connections import run_connections


def run(asked: Asked) -> None:
    """Measure, print the table, and keep the rows beside the runs. Raises UsageError, OperationFailed."""
    words = {name: text for name, text in asked.profile_words.items() if name in ("TRANSPORT", "SECURITY")}
    profile = load_profile("security", words)
    install_brokers_for(asked, profile.transports)
    progress = Console(stderr=True)
    rounds = int(asked.value("ROUNDS"))
    found, path = run_to_end(
        lambda: run_connections(profile, paths_of(asked), rounds, lambda said: progress.print(said, highlight=False))
    )
    if asked.json:
        print_json(found)
    else:
        print_connections_table(found)
    progress.print(f"all numbers: {path}", highlight=False)
