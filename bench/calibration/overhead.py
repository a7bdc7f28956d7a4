"""Measures what the load generator itself adds: lateness, CPU, and latency of Locust.

`make overhead` runs it:

lateness    1,000 orders/s on `memory`, through Locust, with other processes busy on every core
cost        CPU of the driver for an order beyond what its client takes, and orders that it sends per second of CPU
path        the same plan through Locust and by the driver called directly, on the same services, in turns
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.calibration.baseline.load import run_open_loop
from bench.errors import LoadError
from bench.load.locust.control import Master, start_master, start_worker
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.scheduling import raise_priority, restore_priority
from bench.load.session import LoadSession
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import PAYLOAD_SHAPES, Mix, PayloadShape, Workload, build_shipped_outcome
from bench.paths import REFERENCE
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.provision.cleanup import open_ledger
from bench.provision.process import finish_despite_cancellation
from bench.report.formatting import format_number
from bench.results.store import RunFolder
from bench.stats.paired import paired_ratio
from bench.trial.context import TrialContext
from bench.trial.hops import SHIPPED_PATH
from bench.trial.trial import build_setting, run_ready_services
from shop.messages import PlaceOrder
from shop.service import fingerprint
from shop.workflow import SERVICES
from transports.base import Client, Finished, Receipt, Setting
from transports.loop_lag import choose_spacing_ns, sample_loop_lag
from transports.tracing import MAX_STAMPS, Tracer

LATENESS_PER_S = 1000
ISSUE_PER_S = 100_000
"""More than it can send: what it sends is its limit."""
COST_PER_S = 2000
CLOSED_LOOP_CLIENTS = 16
"""Clients that order again at once."""
ROUNDS = 3
PAIRS = 10
PATH_TRANSPORTS = ("memory", "rest")
"""The first has no other processes, so that hardly anything but the path is left; the second is what it is used for."""
PATH_PER_S = 150
FINGERPRINT_GOALS = {1024: 0.01, 64 * 1024: 0.03}
"""By the bytes of an order, the most of the services' CPU that its hashes may take."""
GOALS = {
    "lateness p50": 0.1,
    "lateness p99": 0.5,
    "driver beyond its client": 15.0,
    "orders per second of CPU": 20_000.0,
    "path": 0.05,
}


class NullClient(Client):
    """A client whose orders finish as they are sent, so that only the driver costs time."""

    async def submit(self, order: PlaceOrder) -> Receipt:
        now_ns = time.monotonic_ns()
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        finished.set_result(Finished(build_shipped_outcome(order), now_ns))
        return Receipt(now_ns, finished)


@dataclass(frozen=True, slots=True)
class OverheadRow:
    """A figure of the table; ``met`` is None where there is no goal."""

    what: str
    figure: str
    goal: str = ""
    met: bool | None = None


def _spin_forever() -> None:
    while True:
        sum(range(10_000))


@contextmanager
def burn_cores(processes: int) -> Iterator[None]:
    """Keeps this many processes spinning at normal priority until the context ends."""
    spinning = [
        multiprocessing.get_context("spawn").Process(target=_spin_forever, daemon=True) for _ in range(processes)
    ]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.terminate()
            process.join()


async def measure_lateness(folder: Path, seconds: float, rounds: int) -> AsyncIterator[OverheadRow]:
    """Yields lateness with no process busy beside the driver, and with one and two per core; medians of the rounds."""
    cores = os.cpu_count() or 1
    async with start_master(folder=folder, log=folder / "locust.log") as locust:
        for processes in (0, cores, 2 * cores):
            with burn_cores(processes):
                found = []
                for number in range(rounds):
                    trial = f"fw-late{processes}r{number}"
                    spec = TrialSpec(
                        id=trial,
                        transport="memory",
                        setting=Setting(trial=trial),
                        users=LATENESS_PER_S,
                        payload_bytes=512,
                        warm_up_s=1.0,
                        duration_s=seconds,
                    )
                    async with start_worker(locust, log=folder / f"{trial}.log", urgent=True):
                        found.append(_raise_on_error(await locust.run(spec)))
            said = f"lateness at {LATENESS_PER_S:,}/s on memory, {processes} other processes busy"
            for percent, goal_ms in ((50, GOALS["lateness p50"]), (99, GOALS["lateness p99"])):
                late_ms = [_percentile_ms(report, "lateness", percent) for report in found]
                middle_ms = median(late_ms)
                figure = (
                    f"{format_number(middle_ms)} ms ({format_number(min(late_ms))} to {format_number(max(late_ms))})"
                )
                yield OverheadRow(f"{said}: p{percent}", figure, f"at most {goal_ms:g} ms", middle_ms <= goal_ms)


def _percentile_ms(report: TrialReport, series: str, percent: int) -> float:
    return (report.histogram(series).percentile_us(percent) or 0.0) / 1000


async def measure_cost(seconds: float, rounds: int) -> AsyncIterator[OverheadRow]:
    """Yields the driver's CPU per order over a client that takes next to nothing, less that client called without it.

    A client that is called in a loop never sleeps; one that is called at the instants of the plan is woken for every
    order, as it is in any program that orders at that rate.
    """
    in_a_loop_us: list[float] = []
    on_time_us: list[float] = []
    issued_per_s: list[float] = []
    on_memory_per_s: list[float] = []
    for round_ in range(rounds):
        looping_us = await _measure_client_us(round(seconds * COST_PER_S))
        waking_us = await _measure_paced_client_us(COST_PER_S, seconds)
        driver_us, _ = await _drive_open_loop(COST_PER_S, seconds)
        in_a_loop_us.append(driver_us - looping_us)
        on_time_us.append(driver_us - waking_us)
        issued_per_s.append((await _drive_open_loop(ISSUE_PER_S, seconds))[1])
        on_memory_per_s.append(await _measure_memory_per_s(round_, seconds))
    goal_us, goal_per_s = GOALS["driver beyond its client"], GOALS["orders per second of CPU"]
    for how, beyond_us in (("called at the same instants", on_time_us), ("called in a loop", in_a_loop_us)):
        middle_us = median(beyond_us)
        yield OverheadRow(
            f"CPU of the driver for an order at {COST_PER_S:,}/s, beyond its client {how}",
            f"{format_number(middle_us)} us ({format_number(min(beyond_us))} to {format_number(max(beyond_us))})",
            f"at most {goal_us:g} us",
            middle_us <= goal_us,
        )
    for whom, per_s in (("", issued_per_s), (" on memory, the four services' own work included", on_memory_per_s)):
        middle_per_s = median(per_s)
        yield OverheadRow(
            f"orders that the driver sends per second of CPU, as fast as it can{whom}",
            f"{format_number(middle_per_s)} ({format_number(min(per_s))} to {format_number(max(per_s))})",
            f"at least {goal_per_s:,.0f}",
            middle_per_s >= goal_per_s,
        )


def measure_stamps(orders: int) -> Iterator[OverheadRow]:
    """Yields the services' CPU for stamping one in so many orders, over all hops of an order."""
    every = load_profile().trace_every
    ids = [f"stamps-{number}" for number in range(orders)]
    messages = [build_shipped_outcome(_workload().order(0))] * orders
    for what, share in ((f"1 in {every}, as by default", every), ("every one", 1)):
        trace = Tracer(share)
        begin_ns = time.process_time_ns()
        for order_id, message in zip(ids, messages, strict=True):
            if trace.is_sampled(order_id):
                at_ns = time.monotonic_ns()
                trace.add(message, at_ns, at_ns, time.monotonic_ns())
        us = (time.process_time_ns() - begin_ns) / 1000 / orders * len(SHIPPED_PATH)
        yield OverheadRow(f"CPU of all services for an order's stamps, {what}", f"{format_number(us)} us")


async def measure_ticks(seconds: float) -> list[OverheadRow]:
    """Returns the CPU of sampling an idle loop's lag: of a tick, and at the most of an order at the usual rate.

    A loop that is at work need not be woken for it, and takes less.
    """
    profile = load_profile()
    spacing_ns, per_s = choose_spacing_ns(profile.trace_every), profile.rates_per_s[0]
    begin_ns = time.process_time_ns()
    await asyncio.sleep(seconds)
    idle_ns = time.process_time_ns() - begin_ns
    with sample_loop_lag(spacing_ns) as loop_lag:
        if loop_lag is None:
            return []
        begin_ns, until_ns = time.process_time_ns(), time.monotonic_ns() + round(seconds * 1e9)
        loop_lag.stay_awake(until_ns)
        await asyncio.sleep(seconds)
        ticks_us = (time.process_time_ns() - begin_ns - idle_ns) / 1000
    tick_us = ticks_us / (seconds * 1e9 / spacing_ns)
    order_us = tick_us * 1e9 / spacing_ns * len(SERVICES) / per_s
    return [
        OverheadRow("CPU of a tick that samples the event loop's lag", f"{format_number(tick_us)} us"),
        OverheadRow(
            f"CPU of all services for these, an order at {per_s:g}/s, at the most", f"{format_number(order_us)} us"
        ),
    ]


def measure_fingerprints(orders: int) -> Iterator[OverheadRow]:
    """Yields the services' CPU for hashing what an order holds, as the audit compares it: once in each visit.

    The share is of the least that any method's services take for an order of that size, in the kept run `size`.
    """
    kept = RunFolder.open(REFERENCE / "size").trials()
    for payload_bytes, goal in FINGERPRINT_GOALS.items():
        for shape in PAYLOAD_SHAPES:
            order = _workload(payload_bytes, shape).order(0).order
            count = max(1, orders // (payload_bytes // 1024))
            begin_ns = time.process_time_ns()
            for _ in range(count):
                fingerprint(order)
            us = (time.process_time_ns() - begin_ns) / 1000 / count * len(SHIPPED_PATH)
            alike = kept[kept["valid"] & (kept["order_bytes"] == payload_bytes) & (kept["shape"] == shape)]
            least_us = alike.groupby("cell")["cpu_us_per_order_services"].median().min()
            yield OverheadRow(
                f"CPU of all services for an order's hashes, {payload_bytes // 1024} KiB {shape}",
                f"{format_number(us)} us, {us / least_us:.2%} of {format_number(least_us)}",
                f"at most {goal:.0%}",
                us / least_us <= goal,
            )


async def _measure_client_us(orders: int) -> float:
    client, workload = NullClient(), _workload()
    made = [workload.order(number) for number in range(orders)]
    begin_ns = time.process_time_ns()
    for order in made:
        await (await client.submit(order)).finished
    return (time.process_time_ns() - begin_ns) / 1000 / orders


async def _measure_paced_client_us(orders_per_s: int, seconds: float) -> float:
    client, workload = NullClient(), _workload()
    made = [workload.order(number) for number in range(round(orders_per_s * seconds) + 1)]

    async def submit(number: int) -> int:
        return (await (await client.submit(made[number])).finished).at_ns

    begin_ns = time.process_time_ns()
    pace = await run_open_loop(submit, 0, orders_per_s, seconds)
    return (time.process_time_ns() - begin_ns) / 1000 / len(pace.from_planned_ns)


async def _drive_open_loop(orders_per_s: int, seconds: float) -> tuple[float, float]:
    """Returns microseconds of CPU per order, and orders per second of CPU."""
    schedule = Schedule("constant", seed="1", orders_per_s=orders_per_s, duration_s=seconds)
    driver = OpenDriver(NullClient(), _workload(), Phases(duration_s=seconds), schedule)
    begin_ns = time.process_time_ns()
    await driver.run()
    spent_ns = time.process_time_ns() - begin_ns
    return spent_ns / 1000 / driver.record.all.sent, driver.record.all.sent / spent_ns * 1e9


async def _measure_memory_per_s(round_: int, seconds: float) -> float:
    """Returns orders per second of CPU with the services in the same process and loop, some orders in flight."""
    trial = f"fw-memoryr{round_}"
    spec = TrialSpec(
        id=trial,
        transport="memory",
        setting=Setting(trial=trial),
        mode="closed",
        users=CLOSED_LOOP_CLIENTS,
        payload_bytes=512,
        warm_up_s=0.5,
        duration_s=seconds,
    )
    report = _raise_on_error(await LoadSession(spec, 0, spec.users).run(_do_nothing))
    return report.sent / report.driver_cpu_ns * 1e9


def _workload(payload_bytes: int = 512, shape: PayloadShape = "document") -> Workload:
    mix = Mix(sold_out=0.0, declined=0.0)
    return Workload(prefix="o", seed=1, payload_bytes=payload_bytes, mix=mix, shape=shape)


async def measure_path(folder: Path, transport: str, seconds: float, pairs: int) -> AsyncIterator[OverheadRow]:
    """Yields ratios of Locust to the driver alone, paired by plan and services; who goes first alternates."""
    # Over memory: it is the path of an order that is measured, and not a disk.
    asked = {"TRANSPORT": transport, "RATE": str(PATH_PER_S), "DURATION": f"{seconds:g}", "STORE": "memory"}
    profile = load_profile(settings=asked)
    (cell,) = expand_cells(profile)
    stage = TrialContext(run_id="over-0000", brokers={}, folder=folder, logs=folder / "logs")
    ratios: dict[int, tuple[list[float], list[float]]] = {50: ([], []), 99: ([], [])}
    async with start_master(folder=folder, log=folder / f"locust-{transport}.log") as locust:
        for pair in range(pairs):
            setting = build_setting(stage, cell, f"fw-{transport}r{pair}s0")
            async with run_ready_services(stage, cell, setting, cell.kind(setting)):
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
                    reports[how] = await _run_once(how, spec, locust, folder)
                for percent, (ours, bare) in ratios.items():
                    ours.append(_percentile_ms(reports["locust"], "finish", percent))
                    bare.append(_percentile_ms(reports["direct"], "finish", percent))
    for percent, (ours, bare) in ratios.items():
        found = paired_ratio(ours, bare)
        value = found.value or 0.0
        interval = "" if found.low is None else f" ({format_number(found.low)} to {format_number(found.high or 0.0)})"
        yield OverheadRow(
            f"p{percent} through Locust over the driver alone, {transport} at {PATH_PER_S}/s, {pairs} pairs",
            f"{format_number(value)}{interval}",
            "within 5 % of 1" if percent == 50 else "",
            abs(value - 1) <= GOALS["path"] if percent == 50 else None,
        )


async def _run_once(how: str, spec: TrialSpec, locust: Master, folder: Path) -> TrialReport:
    spec = msgspec.structs.replace(spec, id=f"{spec.setting.trial}-{how}")
    if how == "locust":
        async with start_worker(locust, log=folder / f"{spec.id}.log", urgent=True):
            return _raise_on_error(await locust.run(spec))
    with _at_worker_priority():
        return _raise_on_error(await LoadSession(spec, 0, spec.users).run(_do_nothing))


async def _do_nothing() -> None:
    pass


@contextmanager
def _at_worker_priority() -> Iterator[None]:
    raise_priority()
    try:
        yield
    finally:
        restore_priority()


def _raise_on_error(report: TrialReport) -> TrialReport:
    """Returns the report. Raises LoadError when it holds an error."""
    if report.error:
        raise LoadError(report.error, code="trial-failed")
    return report


async def measure_overhead(home: Path, seconds: float, rounds: int, pairs: int, console: Console) -> list[OverheadRow]:
    """Prints the table and returns its rows. Raises LoadError or StartFailed."""
    ledger = open_ledger(home)
    lines: list[OverheadRow] = []
    try:
        for part in (
            measure_lateness(ledger.folder, seconds, rounds),
            measure_cost(seconds, rounds),
            *(measure_path(ledger.folder, transport, seconds, pairs) for transport in PATH_TRANSPORTS),
        ):
            async for line in part:
                lines.append(line)
        lines += measure_stamps(MAX_STAMPS)
        lines += await measure_ticks(seconds)
        lines += measure_fingerprints(MAX_STAMPS // 10)
    finally:
        await finish_despite_cancellation(asyncio.to_thread(ledger.close))
    console.print(overhead_table(lines))
    return lines


def overhead_table(lines: Sequence[OverheadRow]) -> Table:
    drawn = Table(title="What the load generator adds: medians, least to most", title_justify="left", box=None)
    for heading in ("", "seen", "goal", ""):
        drawn.add_column(heading)
    for line in lines:
        verdict = {True: "met", False: "[bold red]MISSED[/]", None: ""}[line.met]
        drawn.add_row(line.what, line.figure, line.goal, verdict)
    return drawn
