"""Compares ours with bare, metric by metric, and judges the median ratio by its goal."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import msgspec

from bench.calibration.baseline.measure import Slot
from bench.stats.quantiles import samples_needed


@dataclass(frozen=True, slots=True)
class BaselineMetric:
    """A number of a slot, with its goal for the ratio ours / bare.

    ``bound`` says on which side of ``goal`` the ratio should lie; None: no goal.
    """

    field: str
    title: str
    bound: Literal["at least", "at most"] | None = None
    goal: float = 0.0
    per: float = 1.0
    """What the field is divided by to be shown in the unit of the title."""
    needs: int = 0
    """Orders of the open loop below which there is no goal, since the number is luck."""


BASELINE_METRICS = (
    BaselineMetric("orders_per_s", "orders/s", "at least", 0.90),
    BaselineMetric("cpu_us_per_order_services", "services us/order", "at most", 1.15),
    BaselineMetric("p50_us", "p50 ms at 60/s", "at most", 1.20, 1000),
    BaselineMetric("p99_us", "p99 ms at 60/s", "at most", 1.50, 1000, needs=samples_needed(Fraction(99, 100))),
    BaselineMetric("paced_cpu_us_per_order_services", "services us at 60/s"),
    BaselineMetric("cpu_us_per_order_driver", "driver us/order"),
    BaselineMetric("cpu_us_per_order_broker", "broker us/order"),
)


class BaselineRatio(msgspec.Struct, frozen=True, kw_only=True):
    """The ratio of ours to bare in one metric, over all rounds."""

    metric: str
    ours: float
    """The median, as ``bare`` is."""
    bare: float
    ratios: list[float]
    """Ours to bare, by round."""
    ratio: float
    """Their median."""
    goal: str | None
    met: bool | None
    """None where there is no goal."""


def compare_metric(metric: BaselineMetric, slots: Sequence[Slot]) -> BaselineRatio | None:
    """Returns the ratio in a metric; None when it was not measured.

    ``slots`` are of one transport, each round with both arms.
    """
    values = {(slot.arm, slot.round): getattr(slot.measured, metric.field) for slot in slots}
    if None in values.values():
        return None
    rounds = sorted({slot.round for slot in slots})
    ratios = [values["ours", number] / values["bare", number] for number in rounds]
    ratio = statistics.median(ratios)
    bound = metric.bound if min(len(slot.measured.latencies_us) for slot in slots) >= metric.needs else None
    met = {"at least": ratio >= metric.goal, "at most": ratio <= metric.goal, None: None}[bound]
    return BaselineRatio(
        metric=metric.field,
        ours=statistics.median(values["ours", number] for number in rounds),
        bare=statistics.median(values["bare", number] for number in rounds),
        ratios=ratios,
        ratio=ratio,
        goal=None if bound is None else f"{bound} {metric.goal:.2f}",
        met=met,
    )
