"""`fourways bench`: measure methods in rounds of trials."""

from bench.cli.arguments import Asked
from bench.cli.profiles import resolve_asked


def run(asked: Asked) -> None:
    """Measure every cell of the profile once a round; see bench.cli.measuring for what is raised."""
    profile = resolve_asked(asked)
    from bench.cli.measuring import measure  # noqa: PLC0415 - a typo has been told by now
    from bench.runner.sets import choose_rounds_plan  # noqa: PLC0415

    measure(asked, profile, choose_rounds_plan)
