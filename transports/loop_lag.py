"""Samples how late an event loop comes to what is ready, which is how long a message waits in the process's socket.

A timer is ready at a known instant, as a socket is when a message has come, and both wait for the loop in the same way.
So the lag of a timer that was due when a message came is what that message waited. Timers (*ticks*) come at even
distances, while sampled orders come. Two things are made of them:

- Of a stall, which is as long as the distance or longer, some tick is always due in it. It is known where it lay, to
  one distance.
- A shorter lag is seen now and then. A message gets the mean over the ticks near it: right in the mean over many
  messages, as long as these come independently of what the loop does.
"""

import asyncio
import os
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SPACING_NS = 9_713_377
"""From tick to tick where every order is traced, and so many times that where one in up to SPARSEST is: a tick wakes an
idle process, which costs more than a stamp. It is no multiple of usual times between orders, so that ticks meet evenly
spaced ones everywhere."""
SPARSEST = 20
"""At this all services spend 30 us of an order's 3,300 on ticks (`make overhead`), and NEAR_NS reaches one from every
message."""
AWAKE_NS = 250_000_000
"""Ticks go on for so long behind a sampled order, and then stop: an idle process sleeps."""
NEAR_NS = 100_000_000
"""Ticks within this of a message tell of it."""
MAX_TICKS = 60_000
"""The most that a process keeps: at the least the first ten minutes of work."""
UNKNOWN_NS = -1
"""The lag where no tick was near."""


class LoopLag:
    """Ticks of one event loop. It is told when its timer has fired, and does not touch the loop itself."""

    def __init__(self, set_timer: Callable[[int], object], clock: Callable[[], int], spacing_ns: int) -> None:
        """``set_timer`` sets the one timer to an instant of ``clock``, 0 for never."""
        self._set_timer = set_timer
        self._clock = clock
        self._spacing_ns = spacing_ns
        self._next_ns = self._until_ns = 0
        self._due_ns = array("q")
        self._lags_ns = array("q")

    def stay_awake(self, until_ns: int) -> None:
        """Goes on with ticks until that instant at least."""
        self._until_ns = max(self._until_ns, until_ns)
        if not self._next_ns and len(self._due_ns) < MAX_TICKS:
            self._next_ns = self._clock() + self._spacing_ns
            self._set_timer(self._next_ns)

    def note_tick(self) -> None:
        """The loop has come to the timer."""
        due_ns, now_ns = self._next_ns, self._clock()
        self._due_ns.append(due_ns)
        self._lags_ns.append(now_ns - due_ns)
        if now_ns < self._until_ns and len(self._due_ns) < MAX_TICKS:
            # The next one of the even distances that has not passed.
            self._next_ns = due_ns + self._spacing_ns * (1 + (now_ns - due_ns) // self._spacing_ns)
        else:
            self._next_ns = 0
        self._set_timer(self._next_ns)

    def estimate_ns(self, at_ns: int) -> int:
        """Returns how long a message to which the loop came at this instant had waited; UNKNOWN_NS if no tick was near.

        Behind a stall it is the time since the stall's first tick. The message may have spent that elsewhere: it waited
        no longer than since it was sent.
        """
        last = bisect_right(self._due_ns, at_ns) - 1
        if last >= 0 and self._is_stall(last):
            ended_ns = self._due_ns[last] + self._lags_ns[last]
            # Within a distance of its end what it held up is still worked off, for all that ticks tell.
            if at_ns < ended_ns + self._spacing_ns:
                return at_ns - self._due_ns[last]
        first, end = bisect_left(self._due_ns, at_ns - NEAR_NS), bisect_right(self._due_ns, at_ns + NEAR_NS)
        near = [self._lags_ns[tick] for tick in range(first, end) if not self._is_stall(tick)]
        return sum(near) // len(near) if near else UNKNOWN_NS

    def _is_stall(self, tick: int) -> bool:
        return self._lags_ns[tick] >= self._spacing_ns


def choose_spacing_ns(trace_every: int) -> int:
    """Returns the distance of ticks where one order in ``trace_every`` is traced."""
    return SPACING_NS * min(max(1, trace_every), SPARSEST)


@contextmanager
def sample_loop_lag(spacing_ns: int) -> Iterator[LoopLag | None]:
    """Samples the running loop within the block, while it is told to stay awake; None where there is no timerfd."""
    from transports.timerfd import open_timerfd  # noqa: PLC0415 - ctypes, in processes that do not trace

    try:
        fd, set_timer = open_timerfd()
    except OSError:
        yield None
        return
    loop, lag = asyncio.get_running_loop(), LoopLag(set_timer, time.monotonic_ns, spacing_ns)
    loop.add_reader(fd, lag.note_tick)
    try:
        yield lag
    finally:
        loop.remove_reader(fd)
        os.close(fd)
