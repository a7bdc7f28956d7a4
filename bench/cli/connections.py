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
from bench.provision.cleanup import open_ledger, resolve_home
from bench.provision.process import finish_despite_cancellation
from bench.report.terminal.connections import print_connections_table
from bench.results.durable_files import append_csv
from bench.results.rows import ColdStartRow
from bench.runner.credentials import prepare_credentials
from bench.runner.environment import Progress, RunPaths, provide_servers
from bench.trial.connections import measure_connection_rounds
from bench.trial.trial import TrialContext
from transports.errors import SettingError, TransportError


async def main(asked: Profile, out: Path, home: Path, count: int) -> None:
    """Raises StartFailed, TransportError, SettingError, UsageError, OSError."""
    console, progress = Console(), Console(stderr=True)

    def say(sentence: str) -> None:
        progress.print(sentence, highlight=False)

    house = RunPaths(checkout=ROOT, home=resolve_home(home), results=out, given={})
    found: list[ColdStartRow] = []
    path = out / f"cold-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    async with AsyncExitStack() as stack:
        security = await prepare_credentials(stack, asked, house.home, None)
        shared = await provide_servers(stack, asked, house, Progress(say=say), security)
        if missing := [server.why for server in shared.values() if isinstance(server, Unavailable)]:
            raise StartFailed("; ".join(missing), code="missing-server")
        ledger = open_ledger(house.home)
        stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
        stage = TrialContext(
            run_id=f"cold-{ledger.folder.name.removeprefix('run-')}",
            profile=asked,
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=ledger.folder / "logs",
            keys=security.keys,
        )
        out.mkdir(parents=True, exist_ok=True)
        async for row in measure_connection_rounds(stage, count, say):
            found.append(row)
            append_csv(path, [msgspec.structs.astuple(row)], ColdStartRow.__struct_fields__)
    print_connections_table(found)
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
