"""A fixed piece of work, timed before and after each trial: a machine that is slower than a moment ago shows here."""

import statistics
import time

RUNS = 7
_TERMS = 200_000


class Canary:
    """The runs of one machine over one run of ours, so that each is set against all before it."""

    def __init__(self) -> None:
        self._seen_us: list[int] = []

    def slowness(self) -> float:
        """Run it now: its time over the fastest so far, 1.0 for the fastest."""
        self._seen_us.append(canary_us())
        return self._seen_us[-1] / min(self._seen_us)


def canary_us() -> int:
    """Microseconds of wall time for a fixed loop in this process: the median of seven runs, some 70 ms in all.

    Wall time, so that other programs count as much as a slower clock does.
    """
    return round(statistics.median(_run_ns() for _ in range(RUNS)) / 1000)


def _run_ns() -> int:
    begin_ns = time.perf_counter_ns()
    sum(range(_TERMS))
    total = 0
    for number in range(_TERMS // 4):
        total += number & 7
    return time.perf_counter_ns() - begin_ns
