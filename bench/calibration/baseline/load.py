"""Runs the load of both arms without Locust: a closed loop and an open loop."""

import asyncio
import time
from array import array
from dataclasses import dataclass, field

from bench.calibration.baseline.arms import Submit
from bench.load.pacer import create_best_pacer
from bench.load.workload.arrivals import Schedule

LEAD_NS = 20_000_000
"""Before the first order is due, so that it is not late already."""


@dataclass(slots=True)
class OpenLoopTimes:
    """The times of an open loop in nanoseconds, in the order in which orders finished."""

    from_planned_ns: "array[int]" = field(default_factory=lambda: array("q"))
    lateness_ns: "array[int]" = field(default_factory=lambda: array("q"))


async def run_closed_loop(submit: Submit, numbers: range, in_flight: int) -> float:
    """Submits all ``numbers``, ``in_flight`` at a time; returns the seconds until all of them are back."""
    left = iter(numbers)

    async def order_again() -> None:
        for number in left:
            await submit(number)

    begin_ns = time.monotonic_ns()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(order_again())
    return (time.monotonic_ns() - begin_ns) / 1e9


async def run_open_loop(submit: Submit, first: int, orders_per_s: float, duration_s: float) -> OpenLoopTimes:
    """Submits orders from ``first`` on at a constant rate; returns their times when the last one is back."""
    schedule = Schedule("constant", seed="baseline", orders_per_s=orders_per_s, duration_s=duration_s)
    return await run_schedule(submit, first, schedule)


async def run_schedule(submit: Submit, first: int, schedule: Schedule) -> OpenLoopTimes:
    """Submits orders from ``first`` on as they are due; returns their times when the last one is back."""
    pace = OpenLoopTimes()
    all_sent = asyncio.get_running_loop().create_future()
    start_ns = time.monotonic_ns() + LEAD_NS
    number = first

    async with asyncio.TaskGroup() as group:

        async def order(number: int, planned_ns: int) -> None:
            pace.lateness_ns.append(time.monotonic_ns() - planned_ns)
            pace.from_planned_ns.append(await submit(number) - planned_ns)

        def send_due() -> None:
            nonlocal number
            now_ns = time.monotonic_ns()
            while (due_ns := schedule.due_ns) is not None and start_ns + due_ns <= now_ns:
                group.create_task(order(number, start_ns + due_ns))
                number += 1
                schedule.take()
            if due_ns is not None:
                pacer.arm(start_ns + due_ns)
            elif not all_sent.done():
                all_sent.set_result(None)

        pacer = create_best_pacer(send_due)
        try:
            send_due()
            await all_sent
        finally:
            pacer.close()
    return pace
