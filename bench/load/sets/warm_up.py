"""Warms all arms of a set at once, with a few looping clients each.

Open loads of all arms together would be more than the machine carries, although each of them alone is not: a client
that waits for its order takes what there is.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.load.closed_loop import ClosedDriver
from bench.load.phases import Phases
from bench.load.recorder import DriverRecord, Histogram
from bench.load.sets.player import TOOLS, Tools
from bench.load.workload.orders import OrderSource
from bench.stats.trend import WARM_UP_WINDOWS, is_steady
from transports.base import Client

CLIENTS = 4
"""Looping in each arm: as many connections as orders at a moderate rate need at once, so that slices open none."""
TICK_S = 0.5


@dataclass(slots=True)
class WarmedArm:
    """How the warm-up of one arm went."""

    record: DriverRecord
    """Of all its orders, complete."""
    steady: bool
    error: Exception | None = None
    left_behind: int = 0


@dataclass(slots=True)
class _Arm:
    driver: ClosedDriver
    task: asyncio.Task[None]
    finished: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    seen: int = 0
    steady: bool = False
    """Once it was: that all arms of a set are at the same look happens late by chance alone."""

    def look(self, tick_s: float) -> None:
        """Adds what came since the last look."""
        record = self.driver.record
        recent = Histogram()
        for value_us, count in record.finish.take_new_counts().items():
            recent.record(value_us, count)
        self.finished.append((record.all.finished - self.seen) / tick_s)
        self.p50_us.append(recent.percentile_us(50) or math.inf)
        self.seen = record.all.finished
        self.steady = self.steady or self.task.done() or is_steady(self.finished, self.p50_us)


async def warm_up(
    arms: Sequence[tuple[Client, OrderSource, float]],
    least_s: float,
    most_s: float,
    stopped: asyncio.Event,
    tools: Tools = TOOLS,
) -> list[WarmedArm]:
    """Warms clients with these orders and deadlines until all are steady, for ``least_s`` to ``most_s`` seconds.

    Steady: at some look neither orders a second nor the median completion rises or falls. Where ``most_s`` is not more
    than ``least_s`` it takes that long. A defect of one arm ends its own warm-up alone, and is in what is returned.
    """
    running = [_start(*arm, tools) for arm in arms]
    try:
        await _watch(running, least_s, most_s, stopped)
        for arm in running:
            arm.driver.stop()
        results = await asyncio.gather(*(arm.task for arm in running), return_exceptions=True)
    finally:
        for arm in running:
            arm.task.cancel()
    return [
        WarmedArm(
            arm.driver.record,
            steady=most_s <= least_s or arm.steady,
            error=result if isinstance(result, Exception) else None,
            left_behind=arm.driver.left_behind,
        )
        for arm, result in zip(running, results, strict=True)
    ]


async def _watch(running: Sequence[_Arm], least_s: float, most_s: float, stopped: asyncio.Event) -> None:
    """Returns when every arm was steady once, not before ``least_s`` and not after ``most_s``, or when stopped."""
    loop = asyncio.get_running_loop()
    began_s = seen_s = loop.time()
    tick_s = min(TICK_S, most_s / (WARM_UP_WINDOWS + 1)) if most_s > least_s else least_s
    while not stopped.is_set():
        await _sleep(tick_s, stopped)
        now_s = loop.time()
        for arm in running:
            arm.look(now_s - seen_s)
        seen_s, passed_s = now_s, now_s - began_s
        if passed_s + tick_s > max(least_s, most_s) or (passed_s >= least_s and all(arm.steady for arm in running)):
            break


def _start(client: Client, orders: OrderSource, deadline_s: float, tools: Tools) -> _Arm:
    phases = Phases(drain_s=deadline_s, deadline_s=deadline_s)
    driver = ClosedDriver(client, orders, phases, CLIENTS, clock=tools.clock, pacer=tools.pacer, pauses_gc=False)
    return _Arm(driver, asyncio.create_task(driver.run()))


async def _sleep(seconds: float, stopped: asyncio.Event) -> None:
    """Sleeps so long, or until it is stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stopped.wait()
    except TimeoutError:
        return
