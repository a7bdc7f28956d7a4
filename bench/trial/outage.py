"""Summarises an outage from the logged orders: failures, delays and time to recovery."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from bench.results.rows import OutageRow, TimelineBin
from bench.trial.fault_injection import FaultWindow

BIN_S = 0.25
"""The length of a bin of orders, by their planned instant."""
RECOVERY_FACTOR = 2.0
"""Latency has recovered when the median is at most this many times that before the outage."""
RECOVERY_GROUP = 12
"""How many successive orders make a median: by chance it is twice the usual one once in thousands of times."""


@dataclass(frozen=True, slots=True)
class LoggedOrder:
    """An order of the order log; seconds from the opening, ``took_us`` infinite where it did not finish."""

    planned_s: float
    took_us: float
    status: str
    accept_us: float = math.inf
    """Infinite where it was not accepted."""


def read_orders(path: Path, opened_ns: int) -> list[LoggedOrder]:
    """Reads every order of the window, sorted by planned instant. Raises OSError."""
    whole: Any = "Int64"  # which may be missing
    instants = ("planned_ns", "accepted_ns", "finished_ns")
    raw = pd.read_csv(path, dtype={"number": int, "status": str, **dict.fromkeys(instants, whole)})
    found = []
    for status, planned_ns, *ends_ns in zip(raw["status"], *(raw[name] for name in instants), strict=True):
        accept_us, took_us = (
            math.inf if pd.isna(at_ns) else (int(at_ns) - int(planned_ns)) / 1000 for at_ns in ends_ns
        )
        found.append(LoggedOrder((int(planned_ns) - opened_ns) / 1e9, took_us, str(status), accept_us))
    return sorted(found, key=lambda order: order.planned_s)


def summarize_outage(
    orders: Sequence[LoggedOrder], what: str, away: FaultWindow, opened_ns: int, *, round_: int, slot: int, cell: str
) -> OutageRow:
    """Builds the outage's row for a trial in which ``what`` (a fault or a step) happened.

    Without an order before it, the recovery time is None.
    """
    fault_begin_s, fault_end_s = (((at_ns or 0) - opened_ns) / 1e9 for at_ns in (away.began_ns, away.ended_ns))
    before = [order for order in orders if order.planned_s + order.took_us / 1e6 < fault_begin_s]
    before_us = [order.took_us for order in before]
    finished = [order for order in orders if math.isfinite(order.took_us)]
    during = [order for order in orders if fault_begin_s <= order.planned_s < fault_end_s]
    slowest_us = max(before_us, default=math.inf)
    ends_s = [order.planned_s + order.took_us / 1e6 for order in finished if order.planned_s < fault_end_s]
    return OutageRow(
        round=round_,
        slot=slot,
        cell=cell,
        fault=what,
        fault_begin_s=fault_begin_s,
        fault_end_s=fault_end_s,
        planned=len(orders),
        failed=sum(order.status == "failed" for order in orders),
        unfinished=sum(order.status in ("unfinished", "not_sent") for order in orders),
        delayed=sum(order.took_us > slowest_us for order in finished),
        accept_before_p50_us=_median_or_none([order.accept_us for order in before]),
        accept_during_p50_us=_median_or_none([order.accept_us for order in during]),
        before_p50_us=_median_or_none(before_us),
        during_p50_us=_median_or_none([order.took_us for order in during]),
        longest_us=max((order.took_us for order in finished), default=None),
        backlog_drained_s=max(0.0, max(ends_s) - fault_end_s) if ends_s else None,
        recovery_time_s=_compute_recovery_time_s(orders, median(before_us), fault_end_s) if before_us else None,
    )


def _median_or_none(numbers: Sequence[float]) -> float | None:
    """The median, which may be infinite; None without any."""
    return median(numbers) if numbers else None


def build_timeline(orders: Sequence[LoggedOrder], outage: OutageRow) -> list[TimelineBin]:
    """Counts the orders in bins of BIN_S seconds; bins without an order are left out."""
    found: dict[int, list[LoggedOrder]] = {}
    for order in orders:
        found.setdefault(math.floor((order.planned_s - outage.fault_begin_s) / BIN_S), []).append(order)
    return [
        TimelineBin(
            round=outage.round,
            slot=outage.slot,
            cell=outage.cell,
            fault=outage.fault,
            from_s=number * BIN_S,
            planned=len(some),
            failed=sum(order.status == "failed" for order in some),
            accept_p50_us=_median_or_none([order.accept_us for order in some]),
            finish_p50_us=_median_or_none([order.took_us for order in some]),
        )
        for number, some in sorted(found.items())
    ]


def _compute_recovery_time_s(orders: Sequence[LoggedOrder], before_us: float, fault_end_s: float) -> float | None:
    """When the last twelve that were not as before had all been planned; infinite when no twelve came after them."""
    after = [order for order in orders if order.planned_s >= fault_end_s]
    groups = [after[at : at + RECOVERY_GROUP] for at in range(0, len(after) - RECOVERY_GROUP + 1, RECOVERY_GROUP)]
    if not groups:
        return None
    worse = [
        at for at, group in enumerate(groups) if median(order.took_us for order in group) > RECOVERY_FACTOR * before_us
    ]
    if not worse:
        return 0.0
    return groups[worse[-1]][-1].planned_s - fault_end_s if worse[-1] + 1 < len(groups) else math.inf
