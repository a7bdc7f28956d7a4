"""Runs the rounds of a comparison: both arms in each, in ABBA order."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from bench.calibration.baseline.arms import Arm, build_orders
from bench.calibration.baseline.measure import BaselineLoad, Slot, measure_slot
from bench.calibration.baseline.report import BaselineReport
from bench.provision.base import Broker, Say, Unavailable
from bench.provision.brokers import provide_brokers
from bench.provision.cleanup import open_ledger, resolve_home
from bench.provision.ports import find_free_ports
from bench.provision.process import finish_despite_cancellation
from bench.runner.environment import RunPaths
from shop.workflow import SERVICES
from transports.base import Setting
from transports.registry import load_transport

BARE_TRANSPORTS = ("rest", "grpc", "broker", "events")
ARMS: tuple[Arm, Arm] = ("ours", "bare")
WARM_ROUNDS = 3


def arm_order(number: int) -> tuple[Arm, ...]:
    """Returns the arms in the order of round ``number``, from 1.

    The order is ABBA, so that a drift of the machine cancels over two rounds.
    """
    return ARMS if number % 2 else ARMS[::-1]


@asynccontextmanager
async def open_run_folder(home: Path) -> AsyncIterator[Path]:
    """Opens the run's own folder; processes marked with it end with the context. Raises OSError."""
    run = open_ledger(resolve_home(home))
    try:
        yield run.folder
    finally:
        await finish_despite_cancellation(asyncio.to_thread(run.close))


def unavailable_broker(transport: str, servers: Mapping[str, Broker | Unavailable]) -> str | None:
    """Returns why this transport has to be skipped, as a sentence; None when its brokers are available."""
    for need in sorted(load_transport(transport).traits.needs):
        if isinstance(broker := servers[need], Unavailable):
            return broker.why
    return None


async def measure_rounds(
    transport: str,
    rounds: int,
    asked: BaselineLoad,
    servers: Mapping[str, Broker | Unavailable],
    folder: Path,
    logs: Path,
    say: Say,
) -> AsyncIterator[Slot]:
    """Yields slot by slot, in ABBA order. Raises SlotFailed, and ValueError when an order cannot be that small.

    A transport with a broker has rounds before the first that do not count: a JVM is slow until it has compiled what
    both arms use (docs/method.md, "Warm").
    """
    traits = load_transport(transport).traits
    there = {name: broker for name, broker in servers.items() if isinstance(broker, Broker)}
    pids = tuple(itertools.chain.from_iterable(there[need].pids for need in traits.needs))
    orders = build_orders(asked.all_orders, asked.payload_bytes)
    for number in range(1 - (WARM_ROUNDS if pids else 0), rounds + 1):
        for turn, arm in enumerate(arm_order(number), 1):
            say(f"{transport}: {f'round {number} of {rounds}' if number > 0 else 'warming the broker'}, {arm}")
            setting = Setting(
                trial=f"{folder.name.replace('run-', 'baseline-')}-{transport}-{number}{arm}",
                addresses={
                    name: f"127.0.0.1:{port}"
                    for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)
                },
                servers={name: broker.url for name, broker in there.items()},
                codec=traits.codec,
            )
            done = await measure_slot(
                transport, arm, setting, orders, asked, pids, folder, logs, number=number, place=turn
            )
            if number > 0:
                yield done


async def run_baseline(
    transports: Sequence[str], rounds: int, load: BaselineLoad, paths: RunPaths, console: Console
) -> BaselineReport:
    """Measure both arms of every transport, print and save each as soon as it is done, and return the report.

    Raises SlotFailed, OSError.
    """
    progress = Console(stderr=True)

    def say(sentence: str) -> None:
        progress.print(sentence, highlight=False)

    needs = sorted({need for name in transports for need in load_transport(name).traits.needs})
    report = BaselineReport(paths.results, load)
    async with (
        provide_brokers(needs, given=paths.given, home=paths.home, say=say) as found,
        open_run_folder(paths.home) as folder,
    ):
        report.servers = {name: broker.version for name, broker in found.items() if isinstance(broker, Broker)}
        for name in transports:
            if why := unavailable_broker(name, found):
                report.skipped[name] = why
            else:
                logs = paths.home / "baseline-logs"
                report.slots[name] = [
                    slot async for slot in measure_rounds(name, rounds, load, found, folder, logs, say)
                ]
            report.save()
            report.show(name, console)
    console.print(f"all numbers: {report.path}", highlight=False)
    return report
