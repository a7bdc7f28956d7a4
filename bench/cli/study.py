"""`fourways study`: the effects of a profile's factors, or each method's capacity."""

from bench.cli.arguments import Asked
from bench.cli.measuring import measure
from bench.runner.capacity import choose_plan


def run(asked: Asked) -> None:
    """Measure the profile's design, or search for capacities; see bench.cli.measuring for what is raised."""
    measure(asked, choose_plan)
