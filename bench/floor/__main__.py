"""`python -m bench.floor`: what `make floor` does. Exit code 0 also when a goal is missed: it is a benchmark."""

import asyncio
import os
import signal
import sys

import uvloop
from rich.console import Console

from bench.floor.arms import orders_of
from bench.floor.measure import SlotFailed
from bench.floor.options import Options, options
from bench.floor.report import Report
from bench.floor.run import a_folder, compare, lacking
from bench.provision import VARIABLES, Broker, brokers
from transports.registry import named

USAGE, FAILED, STOPPED = 2, 1, 130


async def main(asked: Options) -> int:
    """The exit code. Raises CancelledError after SIGINT or SIGTERM, when everything has been stopped."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    console, progress = Console(), Console(stderr=True)

    def say(sentence: str) -> None:
        progress.print(sentence, highlight=False)

    given = {name: url for name, variable in VARIABLES.items() if (url := os.environ.get(variable))}
    needs = sorted({need for name in asked.transports for need in named(name).traits.needs})
    report = Report(asked.out, asked.load)
    async with brokers(needs, given=given, home=asked.home, say=say) as found, a_folder(asked.home) as folder:
        report.servers = {name: broker.version for name, broker in found.items() if isinstance(broker, Broker)}
        for name in asked.transports:
            if why := lacking(name, found):
                report.skipped[name] = why
            else:
                report.slots[name] = [
                    slot
                    async for slot in compare(
                        name, asked.rounds, asked.load, found, folder, asked.home / "floor-logs", say
                    )
                ]
            report.save()
            report.show(name, console)
    console.print(f"all numbers: {report.path}", highlight=False)
    return 0


def command(arguments: list[str]) -> int:
    """The exit code: 0 measured, 1 failed, 2 not understood, 130 stopped."""
    asked = options(arguments)
    try:
        orders_of(1, asked.load.payload_bytes)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    try:
        return uvloop.run(main(asked))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        return STOPPED
    except SlotFailed as error:
        print(error, file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{error.filename or 'the system'}: {error.strerror or error}; see to it and try again", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
