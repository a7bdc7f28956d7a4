"""Runs our load generator and other tools in turns against the same running servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.calibration.crosscheck import tools
from bench.calibration.crosscheck.echo import create_topic, open_kafka_echo, open_rabbit_echo
from bench.errors import LoadError
from bench.load.closed_loop import ClosedDriver
from bench.load.locust.control import Master, start_master, start_worker
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.recorder import DriverRecord
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Mix, Workload
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import provide_brokers
from bench.provision.cleanup import open_ledger
from bench.provision.process import finish_despite_cancellation
from bench.report.formatting import format_number
from bench.stats.quantiles import quantile_rank
from bench.trial.context import TrialContext
from bench.trial.trial import build_setting, run_ready_services
from transports.base import Client

PAYLOAD_BYTES = 1024
WARM_UP_S = 2
PERCENTS = (50, 90, 99)
AGREEMENT_TOLERANCE = 0.10
"""At p50, or in the mean: a larger difference has to have a reason, which docs/method.md gives."""
ALL_SHIP = Mix(sold_out=0.0, declined=0.0)


@dataclass(frozen=True, slots=True)
class CrosscheckLoad:
    """The load for every tool and for ours."""

    per_s: int
    seconds: int
    rounds: int


@dataclass(slots=True)
class ToolComparison:
    """A tool beside ours: for each percentile or mean, microseconds of every round."""

    what: str
    tool: str
    ours: dict[str, list[float]] = field(default_factory=dict)
    theirs: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: list[float] = field(default_factory=list)
    """Of our load process for each order or message, a round each: a client's CPU is part of what it measures."""

    def add(self, whose: dict[str, list[float]], seen: Mapping[str, float]) -> None:
        for name, value_us in seen.items():
            whose.setdefault(name, []).append(value_us)


def compute_percentiles(latencies_us: Sequence[float]) -> dict[str, float]:
    """Returns p50, p90 and p99 by nearest rank, as our own are."""
    ordered = sorted(latencies_us)
    return {f"p{percent}": ordered[quantile_rank(Fraction(percent, 100), len(ordered)) - 1] for percent in PERCENTS}


async def compare_over_services(asked: CrosscheckLoad, folder: Path, bin_: Path) -> AsyncIterator[ToolComparison]:
    """Yields vegeta beside ours on REST, and ghz on gRPC.

    Each round has fresh services with both tools on them; who goes first alternates.
    """
    async with start_master(folder=folder, log=folder / "locust.log") as locust:
        for transport, tool, name in (("rest", tools.run_vegeta, "vegeta"), ("grpc", tools.run_ghz, "ghz")):
            found = ToolComparison(f"{transport}, a whole order", name)
            profile = load_profile(settings={"TRANSPORT": transport, "RATE": str(asked.per_s)})
            (cell,) = expand_cells(profile)
            stage = TrialContext(run_id="crosscheck-0000", brokers={}, folder=folder, logs=folder / "logs")
            for round_ in range(asked.rounds):
                setting = build_setting(stage, cell, f"fw-wit{transport}r{round_}")
                async with run_ready_services(stage, cell, setting, cell.kind(setting)):
                    for who in ("ours", "theirs") if round_ % 2 else ("theirs", "ours"):
                        if who == "ours":
                            spec = TrialSpec(
                                id=setting.trial,
                                transport=transport,
                                setting=setting,
                                payload_bytes=PAYLOAD_BYTES,
                                mix=ALL_SHIP,
                                arrivals="constant",
                                users=asked.per_s,
                                warm_up_s=float(WARM_UP_S),
                                duration_s=float(asked.seconds),
                            )
                            report = await _run_through_locust(locust, spec, folder)
                            found.cpu_us.append(report.driver_cpu_ns / 1000 / report.finished)
                            finish_us = report.histogram("finish")
                            found.add(found.ours, {f"p{n}": finish_us.percentile_us(n) or 0.0 for n in PERCENTS})
                        else:
                            orders = _workload(f"{name}{round_}")
                            address = setting.addresses["user"]
                            seen = await tool(bin_, folder, address, orders, asked.per_s, WARM_UP_S, asked.seconds)
                            found.add(found.theirs, compute_percentiles(seen))
            yield found


async def _run_through_locust(locust: Master, spec: TrialSpec, folder: Path) -> TrialReport:
    async with start_worker(locust, log=folder / f"{spec.id}.log", urgent=True):
        report = await locust.run(spec)
    if report.error:
        raise LoadError(report.error, code="trial-failed")
    return report


def _workload(prefix: str) -> Workload:
    return Workload(prefix=prefix, seed=1, payload_bytes=PAYLOAD_BYTES, mix=ALL_SHIP)


async def compare_over_rabbitmq(asked: CrosscheckLoad, url: str, jars: Path) -> ToolComparison:
    """Returns PerfTest beside our one-hop echo: a publisher with confirms, a consumer, the same rate."""
    found = ToolComparison("rabbitmq, one hop", "PerfTest")
    for round_ in range(asked.rounds):
        for who in ("ours", "theirs") if round_ % 2 else ("theirs", "ours"):
            if who == "ours":
                begun_s = time.process_time()
                record = await _drive_echo(open_rabbit_echo(url), asked, f"echo{round_}")
                found.cpu_us.append((time.process_time() - begun_s) * 1e6 / (asked.per_s * (WARM_UP_S + asked.seconds)))
                found.add(found.ours, {"p50": record.finish.percentile_us(50) or 0.0})
            else:
                seen_us = await tools.run_perf_test(jars, url, asked.per_s, WARM_UP_S, asked.seconds, PAYLOAD_BYTES)
                found.add(found.theirs, {"p50": seen_us})
    return found


async def _drive_echo(echo: AbstractAsyncContextManager[Client], asked: CrosscheckLoad, prefix: str) -> DriverRecord:
    async with echo as client:
        phases = Phases(warm_up_s=float(WARM_UP_S), duration_s=float(asked.seconds))
        schedule = Schedule("constant", seed="1", orders_per_s=asked.per_s, duration_s=float(asked.seconds))
        warm_up = Schedule("constant", seed="1", orders_per_s=asked.per_s)
        driver = OpenDriver(client, _workload(prefix), phases, schedule, warm_up=warm_up)
        await driver.run()
        return driver.record


async def compare_over_kafka(asked: CrosscheckLoad, bootstrap: str, jars: Path) -> ToolComparison:
    """Returns EndToEndLatency beside our one-hop echo: one record after the other, each waited for."""
    found = ToolComparison("kafka, one hop, one at a time", "EndToEndLatency")
    async with create_topic(bootstrap) as topic:
        for round_ in range(asked.rounds):
            for who in ("ours", "theirs") if round_ % 2 else ("theirs", "ours"):
                if who == "ours":
                    async with open_kafka_echo(bootstrap, topic) as client:
                        phases = Phases(warm_up_s=float(WARM_UP_S), duration_s=float(asked.seconds))
                        driver = ClosedDriver(client, _workload(f"echo{round_}"), phases, 1)
                        await driver.run()
                    record = driver.record
                    found.add(found.ours, {"mean": record.response_ns / 1000 / record.window.finished})
                else:
                    mean_us = await tools.run_end_to_end_latency(jars, bootstrap, topic, PAYLOAD_BYTES)
                    found.add(found.theirs, {"mean": mean_us})
    return found


async def run_crosscheck(asked: CrosscheckLoad, home: Path, console: Console) -> list[ToolComparison]:
    """Runs all comparisons, prints the table and returns them. Raises LoadError, StartFailed or ToolFailed."""
    ledger = open_ledger(home)
    found: list[ToolComparison] = []
    try:
        say = Console(stderr=True).print
        async with provide_brokers(["rabbitmq", "kafka"], given={}, home=home, say=say) as there:
            async for comparison in compare_over_services(asked, ledger.folder, home / "crosscheck"):
                found.append(comparison)
            for name, over, jars in (
                ("rabbitmq", compare_over_rabbitmq, home / "crosscheck" / "perftest"),
                ("kafka", compare_over_kafka, home / "kafka" / "libs"),
            ):
                broker = there[name]
                if isinstance(broker, Unavailable):
                    console.print(f"{name} left out: {broker.why}", highlight=False)
                elif isinstance(broker, Broker):
                    found.append(await over(asked, broker.url, jars))
    finally:
        await finish_despite_cancellation(asyncio.to_thread(ledger.close))
    console.print(comparison_table(asked, found))
    for comparison in found:
        if comparison.cpu_us:
            console.print(
                f"{comparison.what}: our client and driver used "
                f"{format_number(median(comparison.cpu_us) / 1000)} ms of CPU each.",
                highlight=False,
            )
    return found


def comparison_table(asked: CrosscheckLoad, found: Sequence[ToolComparison]) -> Table:
    drawn = Table(
        title=f"Milliseconds at a constant {asked.per_s}/s, medians of {asked.rounds} rounds of {asked.seconds} s",
        title_justify="left",
        box=None,
    )
    for heading in ("", "", "ours", "theirs", "ours/theirs, by round", ""):
        drawn.add_column(heading, justify="left" if heading == "" else "right")
    for comparison in found:
        for number, name in enumerate(comparison.theirs):
            ours, theirs = comparison.ours[name], comparison.theirs[name]
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            headline = name in ("p50", "mean")
            drawn.add_row(
                f"{comparison.what}, {comparison.tool}" if number == 0 else "",
                name,
                format_number(median(ours) / 1000),
                format_number(median(theirs) / 1000),
                f"{format_number(median(ratios))} ({', '.join(map(format_number, ratios))})",
                ("agree" if abs(median(ratios) - 1) <= AGREEMENT_TOLERANCE else "differ") if headline else "",
            )
    return drawn
