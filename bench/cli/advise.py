"""`fourways advise`: which method fits a use, from what was measured."""

from rich.console import Console

from bench.advise.evidence import collect_evidence
from bench.advise.question import parse_question
from bench.advise.ranking import advise
from bench.advise.terminal import render_advice
from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.results.lookup import find_runs


def run(asked: Asked) -> None:
    """Print the ranked answer and its ground. Raises UsageError, ResultsError."""
    words = {name: text for name, text in asked.words.items() if name not in ("RUN", "RESULTS")}
    evidence = collect_evidence(find_runs(asked.words.get("RUN", ""), asked.path("RESULTS")))
    advice = advise(parse_question(words), evidence)
    if asked.json:
        print_json(advice)
    else:
        Console().print(render_advice(advice), highlight=False)
