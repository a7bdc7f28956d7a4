"""`fourways bench`: measure methods in rounds of trials."""

from bench.cli.arguments import Asked
from bench.cli.measuring import measure
from bench.runner.runner import ROUNDS_PLAN


def run(asked: Asked) -> None:
    """Measure every cell of the profile once a round; see bench.cli.measuring for what is raised."""
    measure(asked, lambda _: ROUNDS_PLAN)
