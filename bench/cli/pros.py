"""`fourways pros`: pros and cons of each method, each with its number and its source."""

from bench.cli.arguments import Asked
from bench.results.lookup import find_runs


def run(asked: Asked) -> None:
    """Print the claims that the runs bear out. Raises UsageError, ResultsError."""
    folders = find_runs(asked.words.get("RUN", ""), asked.path("RESULTS"))
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.advise.chart_links import look_up_in_folders  # noqa: PLC0415
    from bench.advise.claims import build_claims  # noqa: PLC0415
    from bench.advise.evidence import collect_evidence  # noqa: PLC0415
    from bench.advise.terminal import render_claims  # noqa: PLC0415
    from bench.cli.output import print_json  # noqa: PLC0415

    evidence = collect_evidence(folders)
    claims = build_claims(evidence, look_up_in_folders(evidence.runs))
    if asked.json:
        print_json(claims)
    else:
        Console().print(render_claims(claims, evidence.left_out), highlight=False)
