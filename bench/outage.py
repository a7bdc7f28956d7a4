"""What an outage did: who waited, who was told that it failed, who never heard, and when it was over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pandas as pd

from bench.faults import Away, Fault

BIN_S = 0.25
"""Orders are looked at in stretches of this length, by when they were planned."""
NORMAL = 2.0
"""A stretch is as before when its median is at most so many times that of the time before the outage."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of outages.csv. Times are from the opening of the window; None: it did not come to that."""

    round: int
    slot: int
    cell: str
    fault: str
    began_s: float
    back_s: float
    """When the part was ready again."""
    planned: int
    failed: int
    unfinished: int
    delayed: int
    """Orders that finished and took longer than the slowest before the outage."""
    before_p50_us: float | None
    longest_us: float | None
    """Of an order that finished."""
    backlog_gone_s: float | None
    """From when the part was back to the end of the last order that was planned until then; None if one never ended."""
    as_before_s: float | None
    """From when the part was back until orders, as they are planned, finish as before and go on to."""


@dataclass(frozen=True, slots=True)
class Order:
    """Of the raw file; seconds from the opening, ``took_us`` infinite where it did not finish."""

    planned_s: float
    took_us: float
    status: str


def orders_of(path: Path, opened_ns: int) -> list[Order]:
    """Every order of the window, as planned. Raises OSError."""
    whole: Any = "Int64"  # which may be missing
    raw = pd.read_csv(path, dtype={"number": int, "status": str, "planned_ns": whole, "finished_ns": whole})
    found = []
    for status, planned_ns, finished_ns in zip(raw["status"], raw["planned_ns"], raw["finished_ns"], strict=True):
        took_us = math.inf if pd.isna(finished_ns) else (int(finished_ns) - int(planned_ns)) / 1000
        found.append(Order((int(planned_ns) - opened_ns) / 1e9, took_us, str(status)))
    return sorted(found, key=lambda order: order.planned_s)


def outage_of(
    orders: Sequence[Order], fault: Fault, away: Away, opened_ns: int, *, round_: int, slot: int, cell: str
) -> Outage:
    """What is to be said of a trial with a fault. Without an order before it, nothing is said of what is as before."""
    began_s, back_s = (((at_ns or 0) - opened_ns) / 1e9 for at_ns in (away.began_ns, away.ended_ns))
    before_us = [order.took_us for order in orders if order.planned_s + order.took_us / 1e6 < began_s]
    finished = [order for order in orders if math.isfinite(order.took_us)]
    slowest_us = max(before_us, default=math.inf)
    by_then = [order for order in orders if order.planned_s < back_s and order.status != "failed"]
    last_s = max((order.planned_s + order.took_us / 1e6 for order in by_then), default=math.inf)
    return Outage(
        round=round_,
        slot=slot,
        cell=cell,
        fault=fault.name,
        began_s=began_s,
        back_s=back_s,
        planned=len(orders),
        failed=sum(order.status == "failed" for order in orders),
        unfinished=sum(order.status in ("unfinished", "not_sent") for order in orders),
        delayed=sum(order.took_us > slowest_us for order in finished),
        before_p50_us=median(before_us) if before_us else None,
        longest_us=max((order.took_us for order in finished), default=None),
        backlog_gone_s=max(0.0, last_s - back_s) if math.isfinite(last_s) else None,
        as_before_s=_as_before_s(orders, median(before_us), back_s) if before_us else None,
    )


def _as_before_s(orders: Sequence[Order], before_us: float, back_s: float) -> float | None:
    """The end of the last stretch that was not as before, from ``back_s``; None when the window ended in one."""
    stretches: dict[int, list[float]] = {}
    for order in orders:
        if order.planned_s >= back_s:
            stretches.setdefault(int((order.planned_s - back_s) / BIN_S), []).append(order.took_us)
    worse = [number for number, took_us in stretches.items() if median(took_us) > NORMAL * before_us]
    if not stretches or (worse and max(worse) == max(stretches)):
        return None
    return (max(worse) + 1) * BIN_S if worse else 0.0
