"""`fourways pros`: pros and cons of each method, each with its number and its source."""

from rich.console import Console

from bench.advise.chart_links import look_up_in_folders
from bench.advise.claims import build_claims
from bench.advise.evidence import collect_evidence
from bench.advise.terminal import render_claims
from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.results.lookup import find_runs


def run(asked: Asked) -> None:
    """Print the claims that the runs bear out. Raises UsageError, ResultsError."""
    evidence = collect_evidence(find_runs(asked.words.get("RUN", ""), asked.path("RESULTS")))
    claims = build_claims(evidence, look_up_in_folders(evidence.runs))
    if asked.json:
        print_json(claims)
    else:
        Console().print(render_claims(claims, evidence.left_out), highlight=False)
