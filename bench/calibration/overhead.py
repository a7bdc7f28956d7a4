"""`make overhead`: what the load generator itself adds.

lateness    1,000 orders/s on `memory`, through Locust, with other processes busy on every core
cost        CPU of the driver for an order beyond what its client takes, and orders that it sends per second of CPU
path        the same plan through Locust and by the driver called directly, on the same services, in turns
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.calibration.baseline.load import paced
from bench.cli.exits import outcome
from bench.errors import LoadError, StartFailed
from bench.load.driver import Phases
from bench.load.locust.control import Master, master, worker
from bench.load.open_loop import OpenDriver
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.scheduling import urgent, usual
from bench.load.session import Carrying
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Mix, Workload, shipped
from bench.paths import ROOT
from bench.profile.loader import load
from bench.profile.matrix import methods
from bench.provision.cleanup import open_run, place
from bench.provision.process import finish
from bench.report.formatting import digits
from bench.stats.paired import paired_ratio
from bench.trial.hops import PATH
from bench.trial.trial import Stage, serving, setting_of
from shop.messages import PlaceOrder
from transports.base import Client, Finished, Receipt, Setting
from transports.tracing import MOST_STAMPS, Trace

LATE_PER_S = 1000
ISSUE_PER_S = 100_000
"""More than it can send: what it sends is its limit."""
COST_PER_S = 2000
LOOPING = 16
"""Clients that order again at once."""
ROUNDS = 3
PAIRS = 10
PATHS = ("memory", "rest")
"""The first has no other processes, so that hardly anything but the path is left; the second is what it is used for."""
PATH_PER_S = 150
GOALS = {
    "lateness p50": 0.1,
    "lateness p99": 0.5,
    "driver beyond its client": 15.0,
    "orders per second of CPU": 20_000.0,
    "path": 0.05,
}


class NullClient(Client):
    """Every order has ended when it is sent: what is left is the driver."""

    async def submit(self, order: PlaceOrder) -> Receipt:
        now_ns = time.monotonic_ns()
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        finished.set_result(Finished(shipped(order), now_ns))
        return Receipt(now_ns, finished)


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of the table; ``met`` is None where there is no goal."""

    what: str
    figure: str
    goal: str = ""
    met: bool | None = None


def _spin() -> None:
    while True:
        sum(range(10_000))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that never wait, at the usual priority."""
    spinning = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(processes)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.terminate()
            process.join()


async def lateness(folder: Path, seconds: float, rounds: int) -> AsyncIterator[Line]:
    """With no process busy beside the driver, and with one and two for each core; medians of the rounds."""
    cores = os.cpu_count() or 1
    async with master(folder=folder, log=folder / "locust.log") as locust:
        for processes in (0, cores, 2 * cores):
            with busy(processes):
                found = []
                for number in range(rounds):
                    trial = f"fw-late{processes}r{number}"
                    spec = TrialSpec(
                        id=trial,
                        transport="memory",
                        setting=Setting(trial=trial),
                        users=LATE_PER_S,
                        payload_bytes=512,
                        warm_up_s=1.0,
                        duration_s=seconds,
                    )
                    async with worker(locust, log=folder / f"{trial}.log", urgent=True):
                        found.append(_checked(await locust.run(spec)))
            said = f"lateness at {LATE_PER_S:,}/s on memory, {processes} other processes busy"
            for percent, goal_ms in ((50, GOALS["lateness p50"]), (99, GOALS["lateness p99"])):
                late_ms = [_percentile_ms(report, "lateness", percent) for report in found]
                middle_ms = median(late_ms)
                figure = f"{digits(middle_ms)} ms ({digits(min(late_ms))} to {digits(max(late_ms))})"
                yield Line(f"{said}: p{percent}", figure, f"at most {goal_ms:g} ms", middle_ms <= goal_ms)


def _percentile_ms(report: TrialReport, series: str, percent: int) -> float:
    return (report.histogram(series).percentile_us(percent) or 0.0) / 1000


async def cost(seconds: float, rounds: int) -> AsyncIterator[Line]:
    """The driver over a client that takes next to nothing, less that client called without it.

    A client that is called in a loop never sleeps; one that is called at the instants of the plan is woken for every
    order, as it is in any program that orders at that rate.
    """
    in_a_loop_us: list[float] = []
    on_time_us: list[float] = []
    issued_per_s: list[float] = []
    on_memory_per_s: list[float] = []
    for round_ in range(rounds):
        looping_us = await _client_us(round(seconds * COST_PER_S))
        waking_us = await _woken_us(COST_PER_S, seconds)
        driver_us, _ = await _driven(COST_PER_S, seconds)
        in_a_loop_us.append(driver_us - looping_us)
        on_time_us.append(driver_us - waking_us)
        issued_per_s.append((await _driven(ISSUE_PER_S, seconds))[1])
        on_memory_per_s.append(await _on_memory_per_s(round_, seconds))
    goal_us, goal_per_s = GOALS["driver beyond its client"], GOALS["orders per second of CPU"]
    for how, beyond_us in (("called at the same instants", on_time_us), ("called in a loop", in_a_loop_us)):
        middle_us = median(beyond_us)
        yield Line(
            f"CPU of the driver for an order at {COST_PER_S:,}/s, beyond its client {how}",
            f"{digits(middle_us)} us ({digits(min(beyond_us))} to {digits(max(beyond_us))})",
            f"at most {goal_us:g} us",
            middle_us <= goal_us,
        )
    for whom, per_s in (("", issued_per_s), (" on memory, the four services' own work included", on_memory_per_s)):
        middle_per_s = median(per_s)
        yield Line(
            f"orders that the driver sends per second of CPU, as fast as it can{whom}",
            f"{digits(middle_per_s)} ({digits(min(per_s))} to {digits(max(per_s))})",
            f"at least {goal_per_s:,.0f}",
            middle_per_s >= goal_per_s,
        )


def stamps(orders: int) -> Iterator[Line]:
    """What stamping one in so many orders costs the services, over all that an order meets on its way."""
    every = load().hops_every
    ids = [f"stamps-{number}" for number in range(orders)]
    messages = [shipped(_workload().order(0))] * orders
    for what, share in ((f"1 in {every}, as by default", every), ("every one", 1)):
        trace = Trace(share)
        begin_ns = time.process_time_ns()
        for order_id, message in zip(ids, messages, strict=True):
            if trace.wants(order_id):
                at_ns = time.monotonic_ns()
                trace.add(message, at_ns, at_ns, time.monotonic_ns())
        us = (time.process_time_ns() - begin_ns) / 1000 / orders * len(PATH)
        yield Line(f"CPU of all services for an order's stamps, {what}", f"{digits(us)} us")


async def _client_us(orders: int) -> float:
    client, workload = NullClient(), _workload()
    made = [workload.order(number) for number in range(orders)]
    begin_ns = time.process_time_ns()
    for order in made:
        await (await client.submit(order)).finished
    return (time.process_time_ns() - begin_ns) / 1000 / orders


async def _woken_us(orders_per_s: int, seconds: float) -> float:
    client, workload = NullClient(), _workload()
    made = [workload.order(number) for number in range(round(orders_per_s * seconds) + 1)]

    async def submit(number: int) -> int:
        return (await (await client.submit(made[number])).finished).at_ns

    begin_ns = time.process_time_ns()
    pace = await paced(submit, 0, orders_per_s, seconds)
    return (time.process_time_ns() - begin_ns) / 1000 / len(pace.from_planned_ns)


async def _driven(orders_per_s: int, seconds: float) -> tuple[float, float]:
    """Microseconds of CPU for an order, and orders for a second of CPU."""
    schedule = Schedule("constant", seed="1", orders_per_s=orders_per_s, duration_s=seconds)
    driver = OpenDriver(NullClient(), _workload(), Phases(duration_s=seconds), schedule)
    begin_ns = time.process_time_ns()
    await driver.run()
    spent_ns = time.process_time_ns() - begin_ns
    return spent_ns / 1000 / driver.record.all.sent, driver.record.all.sent / spent_ns * 1e9


async def _on_memory_per_s(round_: int, seconds: float) -> float:
    """Orders for a second of CPU where the services are in the same process and loop, and some orders in flight."""
    trial = f"fw-memoryr{round_}"
    spec = TrialSpec(
        id=trial,
        transport="memory",
        setting=Setting(trial=trial),
        mode="closed",
        users=LOOPING,
        payload_bytes=512,
        warm_up_s=0.5,
        duration_s=seconds,
    )
    report = _checked(await Carrying(spec, 0, spec.users).run(_nothing))
    return report.sent / report.driver_cpu_ns * 1e9


def _workload() -> Workload:
    return Workload(prefix="o", seed=1, payload_bytes=512, mix=Mix(sold_out=0.0, declined=0.0))


async def path(folder: Path, transport: str, seconds: float, pairs: int) -> AsyncIterator[Line]:
    """Paired by plan and by services; which comes first changes from pair to pair."""
    profile = load(flags={"TRANSPORT": transport, "RATE": str(PATH_PER_S), "DURATION": f"{seconds:g}"})
    (cell,) = methods(profile)
    stage = Stage(run_id="over-0000", profile=profile, brokers={}, folder=folder, logs=folder / "logs")
    ratios: dict[int, tuple[list[float], list[float]]] = {50: ([], []), 99: ([], [])}
    async with master(folder=folder, log=folder / f"locust-{transport}.log") as locust:
        for pair in range(pairs):
            setting = setting_of(stage, cell, f"fw-{transport}r{pair}s0")
            async with serving(stage, cell, setting, cell.kind(setting)):
                spec = TrialSpec(
                    id=f"{setting.trial}-a",
                    transport=transport,
                    setting=setting,
                    seed=pair,
                    users=PATH_PER_S,
                    warm_up_s=1.0,
                    duration_s=seconds,
                )
                reports = {}
                for how in ("locust", "direct") if pair % 2 else ("direct", "locust"):
                    reports[how] = await _one(how, spec, locust, folder)
                for percent, (ours, bare) in ratios.items():
                    ours.append(_percentile_ms(reports["locust"], "finish", percent))
                    bare.append(_percentile_ms(reports["direct"], "finish", percent))
    for percent, (ours, bare) in ratios.items():
        found = paired_ratio(ours, bare)
        value = found.value or 0.0
        interval = "" if found.low is None else f" ({digits(found.low)} to {digits(found.high or 0.0)})"
        yield Line(
            f"p{percent} through Locust over the driver alone, {transport} at {PATH_PER_S}/s, {pairs} pairs",
            f"{digits(value)}{interval}",
            "within 5 % of 1" if percent == 50 else "",
            abs(value - 1) <= GOALS["path"] if percent == 50 else None,
        )


async def _one(how: str, spec: TrialSpec, locust: Master, folder: Path) -> TrialReport:
    spec = msgspec.structs.replace(spec, id=f"{spec.setting.trial}-{how}")
    if how == "locust":
        async with worker(locust, log=folder / f"{spec.id}.log", urgent=True):
            return _checked(await locust.run(spec))
    with _as_urgent_as_a_worker():
        return _checked(await Carrying(spec, 0, spec.users).run(_nothing))


async def _nothing() -> None:
    pass


@contextmanager
def _as_urgent_as_a_worker() -> Iterator[None]:
    urgent()
    try:
        yield
    finally:
        usual()


def _checked(report: TrialReport) -> TrialReport:
    """Raises LoadError for a report that is none."""
    if report.error:
        raise LoadError(report.error, code="trial-failed")
    return report


async def measure(home: Path, seconds: float, rounds: int, pairs: int, console: Console) -> bool:
    """Whether every goal was met. Raises LoadError or StartFailed."""
    ledger = open_run(home)
    lines: list[Line] = []
    try:
        for part in (
            lateness(ledger.folder, seconds, rounds),
            cost(seconds, rounds),
            *(path(ledger.folder, transport, seconds, pairs) for transport in PATHS),
        ):
            async for line in part:
                lines.append(line)
        lines += stamps(MOST_STAMPS)
    finally:
        await finish(asyncio.to_thread(ledger.close))
    console.print(table(lines))
    return all(line.met is not False for line in lines)


def table(lines: Sequence[Line]) -> Table:
    drawn = Table(title="What the load generator adds: medians, least to most", title_justify="left", box=None)
    for heading in ("", "seen", "goal", ""):
        drawn.add_column(heading)
    for line in lines:
        verdict = {True: "met", False: "[bold red]MISSED[/]", None: ""}[line.met]
        drawn.add_row(line.what, line.figure, line.goal, verdict)
    return drawn


def command(arguments: list[str]) -> int:
    """The exit code: 0 measured, whether goals were met or not; 1 failed; 130 stopped."""
    parser = argparse.ArgumentParser(
        "python -m bench.calibration.overhead", description="What the load generator itself adds."
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each trial (6)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of lateness and of cost ({ROUNDS})")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"through Locust and directly ({PAIRS})")
    parser.add_argument("--home", type=Path, default=ROOT / ".fourways", help="what a run needs while it lasts")
    asked = parser.parse_args(arguments)
    outcome(measure(place(asked.home), asked.seconds, asked.rounds, asked.pairs, Console()), LoadError, StartFailed)
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
