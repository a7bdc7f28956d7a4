"""`python -m bench.cold`: what `make cold` does."""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from bench.cli.exits import USAGE, outcome
from bench.errors import StartFailed, UsageError
from bench.paths import ROOT
from bench.profile import loader as profiles
from bench.profile.schema import Profile
from bench.provision import Broker, Unavailable
from bench.provision.cleanup import open_run, place
from bench.provision.process import finish
from bench.report.terminal.connections import show
from bench.results.durable_files import append
from bench.results.rows import ColdStart
from bench.runner.credentials import secured
from bench.runner.environment import House, Progress, provide
from bench.trial.connections import rounds
from bench.trial.trial import Stage
from transports.errors import SettingError, TransportError


async def main(asked: Profile, out: Path, home: Path, count: int) -> None:
    """Raises StartFailed, TransportError, SettingError, UsageError, OSError."""
    console, progress = Console(), Console(stderr=True)

    def say(sentence: str) -> None:
        progress.print(sentence, highlight=False)

    house = House(checkout=ROOT, home=place(home), results=out, given={})
    found: list[ColdStart] = []
    path = out / f"cold-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    async with AsyncExitStack() as stack:
        security = await secured(stack, asked, house.home, None)
        shared = await provide(stack, asked, house, Progress(say=say), security)
        if missing := [server.why for server in shared.values() if isinstance(server, Unavailable)]:
            raise StartFailed("; ".join(missing), code="missing-server")
        ledger = open_run(house.home)
        stack.push_async_callback(lambda: finish(asyncio.to_thread(ledger.close)))
        stage = Stage(
            run_id=f"cold-{ledger.folder.name.removeprefix('run-')}",
            profile=asked,
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=ledger.folder / "logs",
            keys=security.keys,
        )
        out.mkdir(parents=True, exist_ok=True)
        async for row in rounds(stage, count, say):
            found.append(row)
            append(path, [msgspec.structs.astuple(row)], ColdStart.__struct_fields__)
    show(found)
    console.print(f"all numbers: {path}", highlight=False)


def command(arguments: list[str]) -> int:
    """The exit code: 0 measured, 1 failed, 2 not understood, 130 stopped."""
    parser = argparse.ArgumentParser("python -m bench.cold", description="What a new connection costs.")
    parser.add_argument("--transport", default="", help="rest,grpc,broker,events")
    parser.add_argument("--rounds", type=int, default=7, help="in which everything takes turns (7)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder for the CSV")
    parser.add_argument("--home", type=Path, default=ROOT / ".fourways", help="brokers' data, keys and our logs")
    given = parser.parse_args(arguments)
    try:
        asked = profiles.load("security", {"TRANSPORT": given.transport})
    except UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    work = main(asked, given.out, given.home, max(1, given.rounds))
    outcome(work, StartFailed, TransportError, SettingError, UsageError)
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
