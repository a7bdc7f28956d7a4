"""Measures new connections of every method at every security level; a CSV file of its own keeps them, not a run."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import MissingServer
from bench.profile.schema import Profile
from bench.provision.base import Broker, Say, Unavailable
from bench.provision.cleanup import open_ledger
from bench.provision.process import finish_despite_cancellation
from bench.results.durable_files import append_csv
from bench.results.rows import ColdStartRow
from bench.runner.credentials import prepare_credentials
from bench.runner.environment import Progress, RunPaths, provide_servers
from bench.trial.connections import measure_connection_rounds
from bench.trial.context import TrialContext


async def run_connections(profile: Profile, paths: RunPaths, rounds: int, say: Say) -> tuple[list[ColdStartRow], Path]:
    """Measure, and return the rows and the CSV that keeps them, row by row as they came.

    Raises MissingServer, StartFailed, TransportError, SettingError, UsageError, OSError.
    """
    found: list[ColdStartRow] = []
    path = paths.results / f"connections-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    async with AsyncExitStack() as stack:
        security = await prepare_credentials(stack, profile, paths.home, paths.keys)
        shared = await provide_servers(stack, profile, paths, Progress(say=say), security)
        if missing := [server.why for server in shared.values() if isinstance(server, Unavailable)]:
            raise MissingServer("; ".join(missing), code="missing-server")
        ledger = open_ledger(paths.home)
        stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
        context = TrialContext(
            run_id=f"cold-{ledger.folder.name.removeprefix('run-')}",
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=ledger.folder / "logs",
            keys=security.keys,
        )
        paths.results.mkdir(parents=True, exist_ok=True)
        async for row in measure_connection_rounds(context, profile, rounds, say):
            found.append(row)
            append_csv(path, [msgspec.structs.astuple(row)], ColdStartRow.__struct_fields__)
    return found, path
