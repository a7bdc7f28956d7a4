"""Measures one arm in one slot: start, warm up, closed loop, open loop, stop."""

import asyncio
import gc
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import msgspec

from bench.calibration.baseline import load
from bench.calibration.baseline.arms import Arm, RunningArm, run_bare_arm, run_our_arm
from bench.errors import OperationFailed
from bench.load import resources
from bench.stats.quantiles import quantile_rank
from shop.messages import PlaceOrder
from transports.base import Setting
from transports.registry import load_transport

MIN_ORDERS_PER_S = 20
"""A slot in which the closed loop is slower has failed."""
START_LIMIT_S = 30.0


class SlotFailed(OperationFailed):
    """A slot could not be measured."""


class BaselineLoad(msgspec.Struct, frozen=True, kw_only=True):
    """The load for both arms."""

    orders: int = 4000
    """In the closed loop."""
    in_flight: int = 16
    orders_per_s: float = 60.0
    seconds: float = 6.0
    """Of the open loop."""
    warm_up: int = 300
    """Orders before either, as many in flight as in the closed loop."""
    payload_bytes: int = 200

    @property
    def all_orders(self) -> int:
        """The orders of a slot. Arrivals are half an interval off its edges, so their number is a rounded one."""
        return self.warm_up + self.orders + round(self.orders_per_s * self.seconds)


class SlotMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a slot: CPU is of the closed loop, percentiles are of the open loop, from the planned time."""

    orders: int
    returned: int
    """Orders whose outcome came back as it should, of both loops and the warm-up."""
    orders_per_s: float
    cpu_us_per_order_services: float
    cpu_us_per_order_driver: float
    cpu_us_per_order_broker: float | None
    """None where there is none, or it runs elsewhere. Idle burn included."""
    paced_cpu_us_per_order_services: float
    """At the same rate in both arms."""
    p50_us: int
    p99_us: int
    lateness_p50_us: int
    lateness_p99_us: int
    latencies_us: list[int]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and its place in the run."""

    transport: str
    round: int
    place: int
    """First or second in its round, 1 or 2."""
    arm: Arm
    load_1m: float
    measured: SlotMeasurement


async def measure_slot(
    transport: str,
    arm: Arm,
    setting: Setting,
    orders: Sequence[PlaceOrder],
    asked: BaselineLoad,
    broker_pids: tuple[int, ...],
    folder: Path,
    logs: Path,
    *,
    number: int,
    place: int,
) -> Slot:
    """Measures one arm. Raises SlotFailed for whatever failed.

    What was started has ended, and queues and topics are gone, when this returns or raises.
    """
    carrier = load_transport(transport)(setting)
    chosen = (
        run_our_arm(carrier, transport, orders, folder, logs)
        if arm == "ours"
        else run_bare_arm(transport, setting, orders, folder, logs)
    )
    limit_s = START_LIMIT_S + asked.all_orders / MIN_ORDERS_PER_S + asked.seconds
    try:
        try:
            async with asyncio.timeout(limit_s):
                await carrier.prepare()
                async with chosen as running:
                    measured = await _measure_loops(running, asked, broker_pids)
        finally:
            await carrier.remove()
    except TimeoutError as error:
        raise SlotFailed(
            f"{transport}, {arm}, round {number}: not done within {limit_s:.0f} s", code="slot-failed"
        ) from error
    except Exception as error:
        raise SlotFailed(
            f"{transport}, {arm}, round {number}: {_innermost_message(error)}", code="slot-failed"
        ) from error
    return Slot(transport=transport, round=number, place=place, arm=arm, load_1m=os.getloadavg()[0], measured=measured)


async def _measure_loops(arm: RunningArm, asked: BaselineLoad, broker_pids: tuple[int, ...]) -> SlotMeasurement:
    await load.run_closed_loop(arm.submit, range(asked.warm_up), asked.in_flight)
    gc.collect()
    gc.freeze()
    first = asked.warm_up + asked.orders
    try:
        # Ours comes last: services and brokers descend from it, and count where they are named first.
        everyone = (*arm.pids, *broker_pids, os.getpid())
        before = resources.read_snapshot(everyone)
        took_s = await load.run_closed_loop(arm.submit, range(asked.warm_up, first), asked.in_flight)
        between = resources.read_snapshot(everyone)
        pace = await load.run_open_loop(arm.submit, first, asked.orders_per_s, asked.seconds)
        after = resources.read_snapshot(arm.pids)
    finally:
        gc.unfreeze()
    paced_orders = len(pace.from_planned_ns)

    def cpu_us(pids: Sequence[int]) -> float:
        used_ns = sum(between.processes[pid].cpu_ns - before.processes[pid].cpu_ns for pid in pids)
        return used_ns / 1e3 / asked.orders

    paced_ns = sum(after.processes[pid].cpu_ns - between.processes[pid].cpu_ns for pid in arm.pids)
    return SlotMeasurement(
        orders=asked.all_orders,
        returned=first + paced_orders,
        orders_per_s=asked.orders / took_s,
        cpu_us_per_order_services=cpu_us(arm.pids),
        cpu_us_per_order_driver=cpu_us((os.getpid(),)),
        cpu_us_per_order_broker=cpu_us(broker_pids) if broker_pids else None,
        paced_cpu_us_per_order_services=paced_ns / 1e3 / paced_orders,
        p50_us=_percentile_us(pace.from_planned_ns, 50),
        p99_us=_percentile_us(pace.from_planned_ns, 99),
        lateness_p50_us=_percentile_us(pace.lateness_ns, 50),
        lateness_p99_us=_percentile_us(pace.lateness_ns, 99),
        latencies_us=[value_ns // 1000 for value_ns in pace.from_planned_ns],
    )


def _innermost_message(error: Exception) -> str:
    """Returns the message of the innermost error: orders are many tasks, and may fail together."""
    if isinstance(error, ExceptionGroup):
        return _innermost_message(error.exceptions[0])
    return f"{error}" or type(error).__name__


def _percentile_us(values_ns: Sequence[int], percent: int) -> int:
    return sorted(values_ns)[quantile_rank(Fraction(percent, 100), len(values_ns)) - 1] // 1000
