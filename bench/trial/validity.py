"""Decides whether a trial is valid, from limits on the load generator and the machine.

The limits are explained in docs/method.md. A trial beyond one of them is shown and never compared.
`fourways health` prints how near a run came.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pandas as pd

from bench.results.caveats import Caveat, machine_speed_changed
from bench.results.measures import columns_used_in
from bench.stats.gap_test import GapDistribution, GapTestResult, compare_with_plan
from bench.stats.trend import backlog_grows
from bench.stats.variability import SAME_SPEED_FACTOR

MIN_ACHIEVED_SHARE = 0.98
"""The least share of planned orders that finish in the window; in 6 s the last 2 % may still be on their way."""
MAX_LATENESS_P50_US = 1000
MAX_LATENESS_IN_P99 = 0.10
MAX_LATENESS_IN_P99_US = 500
"""The most by which p99 from the planned instant may exceed p99 from the sent one: the larger of the two."""
MAX_DRIVER_SHARE = 0.8
"""The most of a core for the driver. k6 asks for a fifth of the machine to be free, Locust warns at 0.9."""
MAX_LITTLE_ERROR = 0.05
MIN_BACKLOG_SLOPE_SHARE = 0.01
"""The least share of arrivals by which a backlog grows: a smaller slope may be chance (stats/trend.py)."""
MIN_SLICES = 6
GAP_TOLERANCE_US = 1000.0
"""The difference of a gap from its plan's that does not count: what LATENESS_P50_US allows."""
MAX_STEAL_SHARE = 0.02
"""The most of all cores' time that the host may take."""
MAX_BACKGROUND_CORES = 0.25
"""The most for processes other than services, broker and driver: the conductor and Locust's master need 0.1."""
MAX_CPU_SLOWDOWN = 2.0
"""The most for the speed probe, over its fastest so far; rounds absorb less (docs/method.md, "The speed probe")."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Figures from which a trial's validity is judged. None: not measured, and then no reason to doubt it."""

    achieved_share: float | None = None
    """Orders finished while the window was open, over those planned."""
    ended_share: float | None = None
    """The same with failed orders, over all that ended: an order that never ends makes no other one wait."""
    edge_share: float = 0.0
    """By how much that may differ from 1 by chance: orders on their way at one edge of the window or the other.

    Both numbers scatter as Poisson's do, their difference by the root of twice the orders in flight; three of these.
    """
    lateness_p50_us: float | None = None
    response_p99_us: float | None = None
    service_p99_us: float | None = None
    gap: GapTestResult | None = None
    driver_share: float | None = None
    """The driver's share of one core, for each load process."""
    littles_law_error: float | None = None
    backlog_grew: bool = False
    """Orders in flight rose over the window, where the rate did not vary."""
    steal_share: float | None = None
    background_cores: float | None = None
    cpu_slowdown: float | None = None

    @property
    def lateness_in_p99(self) -> float | None:
        """By which share p99 from the planned instant is longer than p99 from the sent one; None when censored."""
        response_us, service_us = self.response_p99_us, self.service_p99_us
        if not response_us or not service_us or math.isinf(response_us) or math.isinf(service_us):
            return None
        return response_us / service_us - 1


def run_gap_test(sent_us: Mapping[int, int], planned_us: Mapping[int, int]) -> GapTestResult | None:
    """Compares the gaps between sends with the planned gaps; None when there is no gap.

    Both are histograms of gaps, counts by microseconds.
    """
    if not sent_us or not planned_us:
        return None
    return compare_with_plan(GapDistribution(sent_us), GapDistribution(planned_us), GAP_TOLERANCE_US)


def find_invalidating_caveats(health: Health) -> list[Caveat]:
    """Returns every reason to call the trial invalid."""
    return [*_check_load_generator(health), *_check_machine(health)]


def find_remarks(health: Health) -> Iterator[Caveat]:
    """Returns caveats that a reader should know although the trial is valid."""
    if (slowdown := health.cpu_slowdown) is not None and slowdown > SAME_SPEED_FACTOR:
        yield machine_speed_changed(slowdown)


def _check_load_generator(health: Health) -> Iterator[Caveat]:
    if (share := health.ended_share) is not None and share < MIN_ACHIEVED_SHARE - health.edge_share:
        yield Caveat(
            "below-rate",
            f"{share:.1%} of the planned orders ended while the window was open: latency grows with the duration",
            "lower RATE until the method keeps up, or read this as its limit",
        )
    late = []
    if (p50_us := health.lateness_p50_us) is not None and p50_us > MAX_LATENESS_P50_US:
        late.append(f"half of them by {p50_us / 1000:.3g} ms or more")
    if (share := health.lateness_in_p99) is not None and share * (health.service_p99_us or 0.0) > max(
        MAX_LATENESS_IN_P99_US, MAX_LATENESS_IN_P99 * (health.service_p99_us or 0.0)
    ):
        late.append(f"which makes p99 {share:.0%} longer than from the instant of sending")
    if late:
        yield Caveat(
            "late-driver",
            f"the driver sent orders late, {', '.join(late)}",
            "lower RATE, close other programs, or use more cores",
        )
    if health.gap is not None and not health.gap.passed:
        yield Caveat(
            "gaps",
            f"the gaps between sends did not follow the plan: they differ by {health.gap.distance:.3f}, where "
            f"{health.gap.threshold:.3f} may be chance",
            "lower RATE, close other programs, or use more cores",
        )
    if (share := health.driver_share) is not None and share > MAX_DRIVER_SHARE:
        yield Caveat(
            "busy-driver",
            f"the load generator used {share:.0%} of a core: it may be what is being measured",
            "lower RATE",
        )
    if (error := health.littles_law_error) is not None and abs(error) > MAX_LITTLE_ERROR:
        yield Caveat(
            "littles-law",
            f"more orders were in flight by {error:+.0%} than their own instants come to (Little's law): "
            "the transport's instants are wrong, or the load process was late to see them",
            "see where the transport takes Finished.at_ns and Receipt.accepted_ns, or lower RATE",
        )
    if health.backlog_grew:
        yield Caveat(
            "backlog",
            "the orders in flight grew all through the window: the method did not keep up, and latency grows with it",
            "lower RATE until it keeps up",
        )


def has_backlog_grown(in_flight: Sequence[float], planned: float) -> bool:
    """Whether the orders in flight, averaged over equal parts of the window, rose by 1 % of what came in each."""
    if len(in_flight) < MIN_SLICES:
        return False
    return backlog_grows(in_flight, MIN_BACKLOG_SLOPE_SHARE * planned / len(in_flight))


def _check_machine(health: Health) -> Iterator[Caveat]:
    if (share := health.steal_share) is not None and share > MAX_STEAL_SHARE:
        yield Caveat(
            "steal",
            f"the host took {share:.1%} of the machine's time for other guests",
            "measure again when it is calm",
        )
    if (cores := health.background_cores) is not None and cores > MAX_BACKGROUND_CORES:
        yield Caveat(
            "background-load", f"other programs used {cores:.2f} cores during the trial", "close them and measure again"
        )
    if (slowdown := health.cpu_slowdown) is not None and slowdown > MAX_CPU_SLOWDOWN:
        yield Caveat(
            "machine-too-slow",
            f"the machine was too slow: the speed probe took {slowdown:.2f} times its best so far in this run",
            "close other programs, or measure again when the machine is calm",
        )


def measure_spread(trials: pd.DataFrame) -> pd.DataFrame:
    """Measures least, median and largest of each judged column: a row a column, its name in ``column``."""
    columns = [name for name in columns_used_in("health") if name in trials]
    return trials[columns].agg(["min", "median", "max"]).T.rename_axis("column").reset_index()


def format_spread(trials: pd.DataFrame) -> str:
    """Formats least, median and largest of each judged column, a line each, over a table of trials."""
    shown = measure_spread(trials).set_index("column").rename_axis(None)
    return str(shown.to_string(float_format=lambda value: f"{value:.4g}"))
