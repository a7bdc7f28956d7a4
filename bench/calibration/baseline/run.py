"""Rounds: in each both arms, one after the other, and in the next the other way round."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.calibration.baseline.arms import Arm, orders_of
from bench.calibration.baseline.measure import Load, Slot, slot
from bench.provision import Broker, Unavailable, free_ports
from bench.provision.base import Say
from bench.provision.cleanup import open_run, place
from bench.provision.process import finish
from shop.workflow import SERVICES
from transports.base import Setting
from transports.registry import named

PAIR: tuple[Arm, Arm] = ("ours", "bare")
WARM_ROUNDS = 3


def order_of(number: int) -> tuple[Arm, ...]:
    """Of the arms in round ``number``, from 1: ABBA, so that a drift of the machine cancels over two rounds."""
    return PAIR if number % 2 else PAIR[::-1]


@asynccontextmanager
async def a_folder(home: Path) -> AsyncIterator[Path]:
    """The run's own. Processes that bear it as their mark end with it. Raises OSError when it cannot be made."""
    run = open_run(place(home))
    try:
        yield run.folder
    finally:
        await finish(asyncio.to_thread(run.close))


def lacking(transport: str, servers: Mapping[str, Broker | Unavailable]) -> str | None:
    """Why this transport has to be skipped, as a sentence; None when it need not."""
    for need in sorted(named(transport).traits.needs):
        if isinstance(broker := servers[need], Unavailable):
            return broker.why
    return None


async def compare(
    transport: str,
    rounds: int,
    asked: Load,
    servers: Mapping[str, Broker | Unavailable],
    folder: Path,
    logs: Path,
    say: Say,
) -> AsyncIterator[Slot]:
    """Slot by slot, in ABBA order. Raises what ``slot`` raises, and ValueError when an order cannot be that small.

    A transport with a broker has rounds before the first that do not count: a JVM is slow until it has compiled what
    both arms use (docs/method.md, "Warm").
    """
    traits = named(transport).traits
    there = {name: broker for name, broker in servers.items() if isinstance(broker, Broker)}
    pids = tuple(itertools.chain.from_iterable(there[need].pids for need in traits.needs))
    orders = orders_of(asked.all_orders, asked.payload_bytes)
    for number in range(1 - (WARM_ROUNDS if pids else 0), rounds + 1):
        for turn, arm in enumerate(order_of(number), 1):
            say(f"{transport}: {f'round {number} of {rounds}' if number > 0 else 'warming the broker'}, {arm}")
            setting = Setting(
                trial=f"{folder.name.replace('run-', 'floor-')}-{transport}-{number}{arm}",
                addresses={
                    name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, free_ports(len(SERVICES)), strict=True)
                },
                servers={name: broker.url for name, broker in there.items()},
                codec=traits.codec,
            )
            done = await slot(transport, arm, setting, orders, asked, pids, folder, logs, number=number, place=turn)
            if number > 0:
                yield done
