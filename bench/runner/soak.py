"""Runs `make soak`: checks that service memory stays bounded over many orders."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psutil
from rich.table import Table

from bench.errors import MissingServer
from bench.load.workload.orders import Workload
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings, Profile
from bench.provision.base import Broker, Say, Unavailable
from bench.provision.cleanup import open_ledger
from bench.provision.process import finish_despite_cancellation
from bench.runner.credentials import prepare_credentials
from bench.runner.environment import Progress, RunPaths, provide_servers
from bench.runner.pythons import list_programs, provide_pythons
from bench.trial.context import TrialContext
from bench.trial.trial import build_setting, remove_quietly, run_ready_services
from transports.base import Client

DEFAULT_ORDERS = 100_000
IN_FLIGHT = 16
MEMORY_LIMIT_MIB = 120.0
MAX_GROWTH_MIB = 2.0
"""Less than this from half of the orders to all of them is no growth: a page or a free list more or less."""


@dataclass(slots=True)
class SoakResult:
    """Memory of one transport's services, by service, after half of the orders and after all."""

    cell: str
    orders: int
    orders_per_s: float
    half_mib: Mapping[str, float] = field(default_factory=dict)
    full_mib: Mapping[str, float] = field(default_factory=dict)

    def is_bounded(self, service: str) -> bool:
        """Whether this service is under the limit, and not growing."""
        full_mib = self.full_mib[service]
        return full_mib < MEMORY_LIMIT_MIB and full_mib - self.half_mib[service] < MAX_GROWTH_MIB

    @property
    def bounded(self) -> bool:
        """Whether every service is under the limit, and not growing."""
        return all(map(self.is_bounded, self.full_mib))


async def run_soak(profile: Profile, paths: RunPaths, orders: int, say: Say) -> list[SoakResult]:
    """Soaks every cell of the profile in turn. Raises MissingServer, StartFailed, or what an order failed with."""
    found = []
    async with AsyncExitStack() as stack:
        pythons = await provide_pythons(expand_cells(profile), paths, say, all_needed=True)
        security = await prepare_credentials(stack, profile, paths.home, paths.keys)
        shared = await provide_servers(stack, profile, paths, Progress(say=say), security)
        if missing := [server.why for server in shared.values() if isinstance(server, Unavailable)]:
            raise MissingServer("; ".join(missing), code="missing-server")
        ledger = open_ledger(paths.home)
        stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
        stage = TrialContext(
            run_id="soak-0000",
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=ledger.folder / "logs",
            keys=security.keys,
            pythons=list_programs(pythons),
        )
        for number, cell in enumerate(expand_cells(profile)):
            say(f"{cell.name}: {orders:,} orders, {IN_FLIGHT} in flight")
            found.append(
                await _soak_cell(stage, cell, f"fw-soak-{ledger.folder.name.removeprefix('run-')}-{number}", orders)
            )
    return found


async def _soak_cell(stage: TrialContext, cell: CellSettings, trial: str, orders: int) -> SoakResult:
    setting = build_setting(stage, cell, trial)
    transport = cell.kind(setting)
    workload = Workload(
        prefix=trial[-8:],
        seed=1,
        payload_bytes=cell.profile.payload_bytes,
        shape=cell.profile.shape,
        compressible=cell.profile.compressible,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        running = await stack.enter_async_context(run_ready_services(stage, cell, setting, transport))
        client = await stack.enter_async_context(transport.connect())

        def held() -> dict[str, float]:
            return {n: psutil.Process(s.pid).memory_info().rss / 2**20 for n, s in running.items()}

        numbers = itertools.count()
        started = time.monotonic()
        await _send_orders(client, workload, numbers, orders // 2)
        half = held()
        await _send_orders(client, workload, numbers, orders - orders // 2)
        return SoakResult(cell.name, orders, orders / (time.monotonic() - started), half, held())


async def _send_orders(client: Client, workload: Workload, numbers: "itertools.count[int]", count: int) -> None:
    left = iter(range(count))

    async def buyer() -> None:
        for _ in left:
            number = next(numbers)
            finished = await (await client.submit(workload.order(number))).finished
            assert finished.outcome.status == workload.expected(number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(buyer())
    except ExceptionGroup as errors:  # what one order failed with, most others failed with too
        raise errors.exceptions[0] from None


def build_soak_table(found: list[SoakResult]) -> Table:
    """Builds the table of results, a row per transport and service."""
    shown = Table(
        title=f"MiB per service process; limit {MEMORY_LIMIT_MIB:g}, growth under {MAX_GROWTH_MIB:g}",
        title_justify="left",
    )
    for heading in ("method", "orders", "orders/s", "service", "half", "all", "bounded"):
        shown.add_column(heading, justify="left" if heading in ("method", "service") else "right")
    for soaked in found:
        for service, mib in soaked.full_mib.items():
            shown.add_row(
                soaked.cell,
                f"{soaked.orders:,}",
                f"{soaked.orders_per_s:,.0f}",
                service,
                f"{soaked.half_mib[service]:.1f}",
                f"{mib:.1f}",
                "yes" if soaked.is_bounded(service) else "NO",
            )
    return shown
