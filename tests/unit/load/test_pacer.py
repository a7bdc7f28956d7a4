"""Tests that pacers wake on time: never early, and once per deadline."""

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest
import uvloop

from bench.load.pacer import LoopPacer, Pacer, TimerfdPacer

MS = 1_000_000

timerfd = pytest.param(TimerfdPacer, marks=pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's"))
every_pacer = pytest.mark.parametrize("make", [timerfd, LoopPacer])
every_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])

Make = Callable[[Callable[[], None]], Pacer]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def _arm(deadline_ns: int, pacer: Pacer) -> None:
    pacer.arm(deadline_ns)


def wakes(make: Make, new_loop: NewLoop, arm: Callable[[Pacer], None]) -> int:
    """When the pacer woke first, after what ``arm`` did."""

    async def wait() -> int:
        woken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(time.monotonic_ns())

        pacer = make(wake)
        try:
            arm(pacer)
            return await woken
        finally:
            pacer.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(wait())


@every_loop
@every_pacer
def test_it_never_wakes_early(make: Make, new_loop: NewLoop) -> None:
    for after_us in (10, 300, 1_700, 9_999):
        deadline_ns = time.monotonic_ns() + after_us * 1000
        assert wakes(make, new_loop, partial(_arm, deadline_ns)) >= deadline_ns


@every_loop
@every_pacer
def test_a_deadline_that_has_passed_wakes_at_once(make: Make, new_loop: NewLoop) -> None:
    assert wakes(make, new_loop, lambda pacer: pacer.arm(time.monotonic_ns() - MS))


@every_loop
@every_pacer
def test_a_later_deadline_replaces_the_pending_one(make: Make, new_loop: NewLoop) -> None:
    later_ns = time.monotonic_ns() + 20 * MS

    def arm(pacer: Pacer) -> None:
        pacer.arm(time.monotonic_ns() + MS)
        pacer.arm(later_ns)

    assert wakes(make, new_loop, arm) >= later_ns


@every_loop
@every_pacer
def test_a_disarmed_deadline_does_not_wake(make: Make, new_loop: NewLoop) -> None:
    async def disarmed() -> list[str]:
        woken: list[str] = []
        other = asyncio.Event()
        disarmed, armed = make(lambda: woken.append("disarmed")), make(other.set)
        try:
            disarmed.arm(time.monotonic_ns() + MS)
            armed.arm(time.monotonic_ns() + 5 * MS)
            disarmed.disarm()
            await other.wait()
        finally:
            disarmed.close()
            armed.close()
        return woken

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(disarmed()) == []


@every_loop
@every_pacer
def test_it_wakes_once_for_every_deadline(make: Make, new_loop: NewLoop) -> None:
    async def count() -> int:
        woken = 0
        done = asyncio.Event()

        def wake() -> None:
            nonlocal woken
            woken += 1
            if woken < 20:
                pacer.arm(time.monotonic_ns() + MS // 10)
            else:
                done.set()

        pacer = make(wake)
        pacer.arm(time.monotonic_ns())
        await done.wait()
        # Enough turns of the loop for a file that is still ready to be seen again.
        for _ in range(10):
            await asyncio.sleep(0)
        pacer.close()
        return woken

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(count()) == 20


async def test_a_timer_that_fires_early_is_waited_for_again() -> None:
    clock = iter([0, 5 * MS, 9 * MS, 10 * MS])
    seen: list[int] = []
    done = asyncio.Event()
    pacer = LoopPacer(done.set, clock=lambda: seen.append(next(clock)) or seen[-1])  # type: ignore[func-returns-value]
    pacer.arm(10 * MS)
    await done.wait()
    assert seen[-1] == 10 * MS
    pacer.close()
