"""`fourways advise`: which method fits a use, from what was measured."""

from bench.advise.question import parse_question
from bench.cli.arguments import Asked
from bench.results.lookup import find_runs


def run(asked: Asked) -> None:
    """Print the ranked answer and its ground. Raises UsageError, ResultsError."""
    question = parse_question({name: text for name, text in asked.words.items() if name not in ("RUN", "RESULTS")})
    folders = find_runs(asked.words.get("RUN", ""), asked.path("RESULTS"))
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.advise.evidence import collect_evidence  # noqa: PLC0415
    from bench.advise.ranking import advise  # noqa: PLC0415
    from bench.advise.terminal import render_advice  # noqa: PLC0415
    from bench.cli.output import print_json  # noqa: PLC0415

    advice = advise(question, collect_evidence(folders))
    if asked.json:
        print_json(advice)
    else:
        Console().print(render_advice(advice), highlight=False)
