"""Decides whether a trial is valid, from limits on the load generator and the machine.

The limits are explained in docs/method.md. A trial beyond one of them is shown and never compared.
`fourways health` prints how near a run came.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pandas as pd

from bench.load.recorder import WINDOW_PARTS
from bench.results.caveats import Caveat, machine_speed_changed
from bench.results.measures import columns_used_in
from bench.stats.gap_test import GapDistribution, GapTestResult, compare_with_plan
from bench.stats.trend import Slope, backlog_grows, fit_slope
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
MAX_ACCEPTANCE_ERROR = 0.05
LOOP_DELAY_US = 200.0
"""What an event loop takes at the most to see that an order has ended: 70 to 180 us an order in results/reference.

An instant that is off by less cannot be told from that. A busy loop takes longer; the lateness of sends shows it.
"""
MAX_TREND = 1.0
"""The most by which the mean response may rise or fall from one end of the window to the other: to twice or half.

A queue at nine tenths of its capacity wanders as far: of simulated windows of 6 s at 150 orders/s 3 % go beyond it with
exponential service times, 1 % with constant ones, and none at seven tenths of the capacity.
"""
TREND_CONFIDENCE = 0.99
MIN_ORDERS_IN_PART = 10
"""The least orders in each part of the window from which a trend is told."""
MIN_BACKLOG_SLOPE_SHARE = 0.01
"""The least share of arrivals by which a backlog grows: a smaller slope may be chance (stats/trend.py)."""
MIN_PARTS = 6
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
    littles_law_gap_us: float = math.inf
    """The same as time: what it comes to for each order."""
    acceptance_error: float | None = None
    """Of the time until ``submit`` returned, the share that lies behind the acceptance by the transport's word."""
    acceptance_gap_us: float = math.inf
    """The same as time."""
    trend: Slope | None = None
    """Of the logarithm of the responses, from one part of the window to the next; None where the rate varies."""
    backlog_grew: bool = False
    """Orders in flight rose over the window, where the rate did not vary."""
    steal_share: float | None = None
    background_cores: float | None = None
    cpu_slowdown: float | None = None

    @property
    def loop_delay_us(self) -> float:
        """What the load process's event loop may have taken to see that an order had ended."""
        return max(LOOP_DELAY_US, 2 * (self.lateness_p50_us or 0.0))

    @property
    def response_trend(self) -> float | None:
        """By which share the mean response rose from the window's first part to its last one."""
        return None if self.trend is None else math.expm1(self.trend.per_window * (WINDOW_PARTS - 1))

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
            1 - share,
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
            health.lateness_p50_us,
        )
    if health.gap is not None and not health.gap.passed:
        yield Caveat(
            "gaps",
            f"the gaps between sends did not follow the plan: they differ by {health.gap.distance:.3f}, where "
            f"{health.gap.threshold:.3f} may be chance",
            "lower RATE, close other programs, or use more cores",
            health.gap.distance,
        )
    if (share := health.driver_share) is not None and share > MAX_DRIVER_SHARE:
        yield Caveat(
            "busy-driver",
            f"the load generator used {share:.0%} of a core: it may be what is being measured",
            "lower RATE",
            share,
        )
    if (
        (error := health.littles_law_error) is not None
        and abs(error) > MAX_LITTLE_ERROR
        and abs(health.littles_law_gap_us) > health.loop_delay_us
    ):
        yield Caveat(
            "littles-law",
            f"more orders were in flight by {error:+.0%} than their own instants come to (Little's law): "
            "the transport's instants are wrong, or the load process was late to see them",
            "see where the transport takes Finished.at_ns and Receipt.accepted_ns, or lower RATE",
            abs(error),
        )
    if (
        (error := health.acceptance_error) is not None
        and error > MAX_ACCEPTANCE_ERROR
        and health.acceptance_gap_us > health.loop_delay_us
    ):
        yield Caveat(
            "acceptance",
            f"orders were accepted {health.acceptance_gap_us / 1000:.3g} ms before `submit` returned, which is "
            f"{error:.0%} of what it took: the transport's instants of acceptance are too early, or the load process "
            "was late to see them",
            "see where the transport takes Receipt.accepted_ns, or lower RATE",
            error,
        )
    if (trend := health.trend) is not None and (total := _measure_sure_trend(trend)) is not None:
        yield Caveat(
            "trend",
            f"at the end of the window the mean response was {1 + total:.2g} times that at its beginning: what it is "
            "in the middle depends on the duration",
            "raise WARM_UP if it fell; lower RATE, or look for what fills up, if it rose",
            abs(math.log1p(total)),
        )
    if health.backlog_grew:
        yield Caveat(
            "backlog",
            "the orders in flight grew all through the window: the method did not keep up, and latency grows with it",
            "lower RATE until it keeps up",
        )


def fit_response_trend(logs: Sequence[float], counts: Sequence[int]) -> Slope | None:
    """Fits a line through the mean logarithms of the responses in equal parts of the window.

    ``logs`` are their sums and ``counts`` the orders, by part. None where a part has too few orders.
    """
    if len(counts) < MIN_PARTS or min(counts) < MIN_ORDERS_IN_PART:
        return None
    return fit_slope([total / count for total, count in zip(logs, counts, strict=True)], TREND_CONFIDENCE)


def _measure_sure_trend(trend: Slope) -> float | None:
    """Returns the change over the window, if all of its interval lies beyond what is allowed; else None."""
    parts = WINDOW_PARTS - 1
    allowed = math.log1p(MAX_TREND)
    if trend.low * parts > allowed or trend.high * parts < -allowed:
        return math.expm1(trend.per_window * parts)
    return None


def has_backlog_grown(in_flight: Sequence[float], planned: float) -> bool:
    """Whether the orders in flight, averaged over equal parts of the window, rose by 1 % of what came in each."""
    if len(in_flight) < MIN_PARTS:
        return False
    return backlog_grows(in_flight, MIN_BACKLOG_SLOPE_SHARE * planned / len(in_flight))


def _check_machine(health: Health) -> Iterator[Caveat]:
    if (share := health.steal_share) is not None and share > MAX_STEAL_SHARE:
        yield Caveat(
            "steal",
            f"the host took {share:.1%} of the machine's time for other guests",
            "measure again when it is calm",
            share,
        )
    if (cores := health.background_cores) is not None and cores > MAX_BACKGROUND_CORES:
        yield Caveat(
            "background-load",
            f"other programs used {cores:.2f} cores during the trial",
            "close them and measure again",
            cores,
        )
    if (slowdown := health.cpu_slowdown) is not None and slowdown > MAX_CPU_SLOWDOWN:
        yield Caveat(
            "machine-too-slow",
            f"the machine was too slow: the speed probe took {slowdown:.2f} times its best so far in this run",
            "close other programs, or measure again when the machine is calm",
            slowdown,
        )


def measure_spread(trials: pd.DataFrame) -> pd.DataFrame:
    """Measures least, median and largest of each judged column: a row a column, its name in ``column``."""
    columns = [name for name in columns_used_in("health") if name in trials]
    return trials[columns].agg(["min", "median", "max"]).T.rename_axis("column").reset_index()


def format_spread(trials: pd.DataFrame) -> str:
    """Formats least, median and largest of each judged column, a line each, over a table of trials."""
    shown = measure_spread(trials).set_index("column").rename_axis(None)
    return str(shown.to_string(float_format=lambda value: f"{value:.4g}"))
