"""`make soak`: many orders through each transport, and whether the memory of its services stays bounded."""

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
from bench.profile.matrix import cells
from bench.profile.schema import Cell, Profile
from bench.provision import Broker, Unavailable
from bench.provision.base import Say
from bench.provision.cleanup import open_run
from bench.provision.process import finish
from bench.runner.credentials import secured
from bench.runner.environment import House, Progress, provide
from bench.trial.trial import Stage, remove_quietly, serving, setting_of
from transports.base import Client

ORDERS = 100_000
IN_FLIGHT = 16
LIMIT_MIB = 120.0
GROWTH_MIB = 2.0
"""Less than this from half of the orders to all of them is no growth: a page or a free list more or less."""


@dataclass(slots=True)
class Soaked:
    """What one transport's services held, by service, after half of the orders and after all."""

    cell: str
    orders: int
    orders_per_s: float
    half_mib: Mapping[str, float] = field(default_factory=dict)
    full_mib: Mapping[str, float] = field(default_factory=dict)

    def bounds(self, service: str) -> bool:
        """Whether this service is under the limit, and not growing."""
        full_mib = self.full_mib[service]
        return full_mib < LIMIT_MIB and full_mib - self.half_mib[service] < GROWTH_MIB

    @property
    def bounded(self) -> bool:
        """Whether every service is."""
        return all(map(self.bounds, self.full_mib))


async def soak(profile: Profile, house: House, orders: int, say: Say) -> list[Soaked]:
    """Every cell of the profile in turn. Raises MissingServer, StartFailed, or what an order failed with."""
    found = []
    async with AsyncExitStack() as stack:
        security = await secured(stack, profile, house.home, house.keys)
        shared = await provide(stack, profile, house, Progress(say=say), security)
        if missing := [server.why for server in shared.values() if isinstance(server, Unavailable)]:
            raise MissingServer("; ".join(missing), code="missing-server")
        ledger = open_run(house.home)
        stack.push_async_callback(lambda: finish(asyncio.to_thread(ledger.close)))
        stage = Stage(
            run_id="soak-0000",
            profile=profile,
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=ledger.folder / "logs",
            keys=security.keys,
        )
        for number, cell in enumerate(cells(profile)):
            say(f"{cell.name}: {orders:,} orders, {IN_FLIGHT} in flight")
            found.append(
                await _soak(stage, cell, f"fw-soak-{ledger.folder.name.removeprefix('run-')}-{number}", orders)
            )
    return found


async def _soak(stage: Stage, cell: Cell, trial: str, orders: int) -> Soaked:
    setting = setting_of(stage, cell, trial)
    transport = cell.kind(setting)
    workload = Workload(
        prefix=trial[-8:],
        seed=1,
        payload_bytes=stage.profile.payload_bytes,
        shape=stage.profile.shape,
        compressible=stage.profile.compressible,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        running = await stack.enter_async_context(serving(stage, cell, setting, transport))
        client = await stack.enter_async_context(transport.connect())

        def held() -> dict[str, float]:
            return {n: psutil.Process(s.pid).memory_info().rss / 2**20 for n, s in running.items()}

        numbers = itertools.count()
        started = time.monotonic()
        await _order(client, workload, numbers, orders // 2)
        half = held()
        await _order(client, workload, numbers, orders - orders // 2)
        return Soaked(cell.name, orders, orders / (time.monotonic() - started), half, held())


async def _order(client: Client, workload: Workload, numbers: "itertools.count[int]", count: int) -> None:
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


def table(found: list[Soaked]) -> Table:
    """A row per transport and service."""
    shown = Table(
        title=f"MiB per service process; limit {LIMIT_MIB:g}, growth under {GROWTH_MIB:g}", title_justify="left"
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
                "yes" if soaked.bounds(service) else "NO",
            )
    return shown
