"""`fourways harness overhead`: what the load generator itself adds."""

from rich.console import Console

from bench.calibration.overhead import measure_overhead
from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.provision.cleanup import resolve_home


def run(asked: Asked) -> None:
    """Print what was seen beside each goal, met or not. Raises LoadError, StartFailed."""
    rows = run_to_end(
        lambda: measure_overhead(
            resolve_home(asked.path("STATE")),
            float(asked.value("SECONDS_EACH")),
            int(asked.value("ROUNDS")),
            int(asked.value("PAIRS")),
            Console(stderr=asked.json),
        )
    )
    if asked.json:
        print_json(rows)
