"""Tests how the time that a message waited for the event loop follows from ticks, on a clock that stands still."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable

import pytest
import uvloop

from bench.load.workload.orders import Workload
from transports.loop_lag import AWAKE_NS, NEAR_NS, UNKNOWN_NS, LoopLag, choose_spacing_ns, sample_loop_lag
from transports.tracing import Tracer

US, MS = 1000, 1_000_000
EVERY_NS = 10 * MS


class Loop:
    """A loop that is busy at known times: it comes to a timer when it is free."""

    def __init__(self, *busy_ms: tuple[float, float], lag_us: int = 0, spacing_ns: int = EVERY_NS) -> None:
        """``busy_ms`` are from and until; ``lag_us`` is what it takes at any other time."""
        self.now_ns = 0
        self.timer_ns = 0
        self._busy_ns = [(int(begin * MS), int(end * MS)) for begin, end in busy_ms]
        self._lag_ns = lag_us * US
        self.lag = LoopLag(self.set_timer, lambda: self.now_ns, spacing_ns)

    def set_timer(self, at_ns: int) -> None:
        self.timer_ns = at_ns

    def find_free_ns(self, at_ns: int) -> int:
        """When the loop comes to what is ready at this instant."""
        last = bisect_right(self._busy_ns, (at_ns, 2**62)) - 1
        return end if last >= 0 and at_ns < (end := self._busy_ns[last][1]) else at_ns + self._lag_ns

    def run(self, until_ms: float) -> LoopLag:
        while self.timer_ns and self.timer_ns < until_ms * MS:
            self.now_ns = self.find_free_ns(self.timer_ns)
            self.lag.note_tick()
        return self.lag


def test_a_message_of_a_stall_waited_since_the_tick_before_it() -> None:
    """The tick that was due at 30 ms ran at 75: what the loop comes to then may have waited for so long."""
    loop = Loop((25, 75))
    loop.lag.stay_awake(200 * MS)
    lag = loop.run(200)
    assert lag.estimate_ns(75 * MS) == 45 * MS
    assert lag.estimate_ns(79 * MS) == 49 * MS  # it is worked off until a tick is prompt again
    assert lag.estimate_ns(80 * MS) == 0
    assert lag.estimate_ns(95 * MS) == 0
    assert lag.estimate_ns(24 * MS) == 0


def test_a_stall_says_nothing_of_messages_that_came_beside_it() -> None:
    loop = Loop((25, 75), lag_us=120)
    loop.lag.stay_awake(200 * MS)
    lag = loop.run(200)
    assert lag.estimate_ns(21 * MS) == 120 * US
    assert lag.estimate_ns(100 * MS) == 120 * US


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("per_s", [100, 150, 200, 300])
@pytest.mark.parametrize("every", [1, 20])
def test_short_waits_are_right_in_the_mean(share: float, per_s: int, every: int) -> None:
    """A loop that is busy for a part of each period of evenly spaced orders: half of that, squared, over the period."""
    period_ns = 1_000_000_000 // per_s
    busy_ns = int(period_ns * share)
    busy = [(at / MS, (at + busy_ns) / MS) for at in range(0, 60_000 * MS, period_ns)]
    loop = Loop(*busy, spacing_ns=choose_spacing_ns(every))
    loop.lag.stay_awake(60_000 * MS)
    lag = loop.run(60_000)
    found = [lag.estimate_ns(at * MS) for at in range(100, 59_900, 13)]
    assert sum(found) / len(found) == pytest.approx(busy_ns**2 / 2 / period_ns, rel=0.1)


def test_ticks_stop_a_while_behind_the_last_order_and_come_back_with_the_next() -> None:
    loop = Loop()
    loop.lag.stay_awake(AWAKE_NS)
    loop.run(10_000)
    assert loop.timer_ns == 0
    assert AWAKE_NS <= loop.now_ns < AWAKE_NS + 2 * EVERY_NS
    loop.now_ns = 9_000 * MS
    loop.lag.stay_awake(9_000 * MS + AWAKE_NS)
    assert loop.timer_ns == 9_000 * MS + EVERY_NS


def test_without_a_tick_near_nothing_is_known() -> None:
    loop = Loop(lag_us=50)
    assert loop.lag.estimate_ns(5 * MS) == UNKNOWN_NS
    loop.lag.stay_awake(AWAKE_NS)
    lag = loop.run(10_000)
    assert lag.estimate_ns(5 * MS) == 50 * US
    assert lag.estimate_ns(loop.now_ns + NEAR_NS + MS) == UNKNOWN_NS


def test_stamps_have_the_lag_where_the_loop_is_watched() -> None:
    message = Workload(prefix="lag", seed=1, payload_bytes=200).order(0)
    loop, trace = Loop(lag_us=50), Tracer(1)
    trace.watch(loop.lag)
    trace.add(message, 5 * MS, 6 * MS, 7 * MS)
    loop.run(1000)
    assert [stamp.lag_ns for stamp in trace.stamps] == [50 * US]
    other = Tracer(1)
    other.add(message, 5 * MS, 6 * MS, 7 * MS)
    assert [stamp.lag_ns for stamp in other.stamps] == [UNKNOWN_NS]


def test_ticks_are_as_sparse_as_stamps_to_a_twentieth() -> None:
    assert choose_spacing_ns(40) == choose_spacing_ns(20) == 20 * choose_spacing_ns(1)


def test_the_sparsest_ticks_leave_no_message_without_one() -> None:
    assert choose_spacing_ns(1_000_000) <= 2 * NEAR_NS


def test_an_order_that_is_not_stamped_wakes_nothing() -> None:
    loop, trace = Loop(), Tracer(0)
    trace.watch(loop.lag)
    assert not trace.is_sampled("any")
    assert loop.timer_ns == 0


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_blocked_is_seen_to_lag(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def block() -> tuple[int, int]:
        with sample_loop_lag(MS) as lag:
            assert lag is not None
            lag.stay_awake(time.monotonic_ns() + 60_000 * MS)
            begun_ns = time.monotonic_ns()
            while time.monotonic_ns() < begun_ns + 50 * MS:
                pass
            ended_ns = time.monotonic_ns()
            while (waited_ns := lag.estimate_ns(ended_ns)) == UNKNOWN_NS:  # noqa: ASYNC110 - a tick tells nobody
                await asyncio.sleep(0)
            return ended_ns - begun_ns, waited_ns

    with asyncio.Runner(loop_factory=new_loop) as runner:
        blocked_ns, waited_ns = runner.run(block())
    assert waited_ns > blocked_ns / 2
