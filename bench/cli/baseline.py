"""`python -m bench.calibration.baseline`: what `make floor` does. Exit code 0 also when a goal is missed: it is a benchmark."""

import os
import sys

from rich.console import Console

from bench.calibration.baseline.arms import build_orders
from bench.calibration.baseline.measure import SlotFailed
from bench.calibration.baseline.options import BaselineOptions, parse_options
from bench.calibration.baseline.report import BaselineReport
from bench.calibration.baseline.run import measure_rounds, open_run_folder, unavailable_broker
from bench.cli.exits import USAGE, outcome
from bench.provision import URL_VARIABLES, Broker, provide_brokers
from transports.registry import load_transport


async def main(asked: BaselineOptions) -> None:
    """Raises SlotFailed, OSError."""
    console, progress = Console(), Console(stderr=True)

    def say(sentence: str) -> None:
        progress.print(sentence, highlight=False)

    given = {name: url for name, variable in URL_VARIABLES.items() if (url := os.environ.get(variable))}
    needs = sorted({need for name in asked.transports for need in load_transport(name).traits.needs})
    report = BaselineReport(asked.out, asked.load)
    async with (
        provide_brokers(needs, given=given, home=asked.home, say=say) as found,
        open_run_folder(asked.home) as folder,
    ):
        report.servers = {name: broker.version for name, broker in found.items() if isinstance(broker, Broker)}
        for name in asked.transports:
            if why := unavailable_broker(name, found):
                report.skipped[name] = why
            else:
                report.slots[name] = [
                    slot
                    async for slot in measure_rounds(
                        name, asked.rounds, asked.load, found, folder, asked.home / "floor-logs", say
                    )
                ]
            report.save()
            report.show(name, console)
    console.print(f"all numbers: {report.path}", highlight=False)


def command(arguments: list[str]) -> int:
    """The exit code: 0 measured, 1 failed, 2 not understood, 130 stopped."""
    asked = parse_options(arguments)
    try:
        build_orders(1, asked.load.payload_bytes)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    outcome(main(asked), SlotFailed)
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
