"""`fourways study`: the effects of a profile's factors, or each method's capacity."""

from bench.cli.arguments import Asked
from bench.cli.profiles import resolve_asked


def run(asked: Asked) -> None:
    """Measure the profile's design, or search for capacities; see bench.cli.measuring for what is raised."""
    profile = resolve_asked(asked)
    from bench.cli.measuring import measure  # noqa: PLC0415 - a typo has been told by now
    from bench.runner.capacity import choose_plan  # noqa: PLC0415

    measure(asked, profile, choose_plan)
