"""`fourways harness codecs`: bytes and nanoseconds of every format by itself."""

from rich.console import Console

from bench.calibration.codecs import print_codec_costs
from bench.cli.arguments import Asked
from bench.cli.exits import end
from bench.cli.output import print_json
from bench.errors import ExitCode


def run(asked: Asked) -> None:
    """Print the table, and how an older service reads a newer order."""
    try:
        rounds, round_s = int(asked.value("ROUNDS")), float(asked.value("ROUND_MS")) / 1000
        costs = print_codec_costs(rounds, round_s, Console(stderr=asked.json))
    except KeyboardInterrupt:
        end("stopped; nothing is left running", "stopped", ExitCode.STOPPED)
    if asked.json:
        print_json(costs)
