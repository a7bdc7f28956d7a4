"""Times a fixed piece of work during a trial, to detect a machine that has become slower."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PERIOD_S = 0.1
_TERMS = 10_000


class SpeedProbe:
    """Times the work during each trial of a run, and compares each trial with the fastest so far."""

    def __init__(self, fastest_us: float | None = None) -> None:
        """``fastest_us`` is the fastest median so far, of a resumed run."""
        self.fastest_us = fastest_us

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[list[float]]:
        """Does the work ten times a second while the context lasts; the list fills with its microseconds."""
        runs_us: list[float] = []

        async def repeat() -> None:
            while True:
                runs_us.append(measure_speed_us())
                await asyncio.sleep(PERIOD_S)

        task = asyncio.create_task(repeat())
        try:
            yield runs_us
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def compute_slowdown(self, runs_us: list[float]) -> float | None:
        """Returns the trial's median over that of the fastest trial so far, 1.0 for the fastest; None without any."""
        if not runs_us:
            return None
        median_us = statistics.median(runs_us)
        self.fastest_us = median_us if self.fastest_us is None else min(self.fastest_us, median_us)
        return median_us / self.fastest_us


def measure_speed_us() -> float:
    """Returns the microseconds of CPU time that a fixed loop takes in this thread, some 300.

    CPU time, since the trial itself makes others wait: it says how much work a core does while it works.
    """
    begin_ns = time.thread_time_ns()
    total = 0
    for number in range(_TERMS):
        total += number & 7
    return (time.thread_time_ns() - begin_ns) / 1000
