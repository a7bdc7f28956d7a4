"""From a table of trials to estimates per cell, and ratios between cells. A pandas frame in, plain data out."""

import math
from typing import Any

import pandas as pd

from bench.stats.intervals import Estimate, median_of
from bench.stats.paired import paired_ratio

CELL = ["cell", "transport", "client", "codec"]
PERCENTILES = ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")
SERIES = ("accept", "accept_service", "finish", "finish_service", "lateness")
METRICS = (
    *(f"{series}_{name}" for series in SERIES for name in PERCENTILES),
    "achieved_per_s",
    "cpu_us_per_order_services",
    "cpu_us_per_order_broker",
    "cpu_us_per_order_driver",
    "rss_mib_services",
    "rss_mib_broker",
    "wire_bytes_per_order",
    "context_switches_per_order",
    "ready_s",
    "in_flight_mean",
    "little",
    "steal_share",
    "others_cores",
    "slowness",
)
CELL_SHARE = 1 / 3
"""More invalid trials than this make a cell invalid: leaving them out would flatter a method that causes them."""
ORDERS = ("planned", "not_sent", "sent", "finished", "failed", "unfinished", "lost", "duplicated")
"""Summed over all trials, the invalid ones too: losses are not dropped with the trial that had them."""
RATIOS = (
    *("accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us"),
    *("cpu_us_per_order_services", "wire_bytes_per_order"),
)
BASELINE = "rest"
ALIKE = (
    *("durability", "store", "security", "processes", "fault"),
    *("offered_per_s", "arrivals", "order_bytes", "shape", "compressible"),
)
"""What two cells have to share for their ratio to say something of their methods: what is promised, what it has to be
done with, and what is asked. Product, client, codec and compression are not in it, since a method is made of them and
REST has none of another's products or clients: a cell's name says them."""
OWN = ("retries", "keep_alive_s")
"""These as well where a run has several of them; a method that knows no such thing has it at 0."""


def summarise(trials: pd.DataFrame) -> dict[str, Any]:
    """Per cell, in the order of first appearance: every metric's median. Then ratios to REST, of valid cells alone."""
    cells = [_cell(key, rows) for key, rows in trials.groupby(CELL, sort=False, dropna=False)]
    return {"cells": cells, "ratios": ratios(trials)}


def is_valid(rows: pd.DataFrame) -> bool:
    """Whether a cell with these trials is to be compared with others."""
    return len(rows) > 0 and float((~rows["valid"]).mean()) <= CELL_SHARE


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The trials that a cell's numbers are of: the valid ones, and of an invalid cell all that brought any."""
    return rows[rows["valid"] if is_valid(rows) else rows["planned"] > 0]


def _cell(key: Any, rows: pd.DataFrame) -> dict[str, Any]:
    measured = shown(rows)
    return {
        **dict(zip(CELL, key, strict=True)),
        "durability": str(rows["durability"].iloc[0]),
        "offered_per_s": float(rows["offered_per_s"].median()),
        "trials": len(rows),
        "valid_trials": int(rows["valid"].sum()),
        "complete_trials": int(rows["complete"].sum()),
        "shown_trials": len(measured),
        "valid": is_valid(rows),
        "orders": {name: int(rows[name].sum()) for name in ORDERS},
        "metrics": {name: plain(median_of(measured[name].dropna())) for name in METRICS if name in rows},
    }


def ratios(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Each cell over the first REST cell that is like it in all of ``ALIKE``, by paired rounds; none without REST."""
    judged = trials.groupby(CELL, sort=False, dropna=False).filter(is_valid)
    valid = judged[judged["valid"]]
    found = []
    of_base = valid[valid["transport"] == BASELINE]
    alike = [name for name in ALIKE if name in valid]
    alike += [name for name in OWN if name in valid and of_base[name].nunique() > 1]
    for (durability, *_), group in valid.groupby(alike, sort=False):
        bases = group.loc[group["transport"] == BASELINE, "cell"]
        if bases.empty:
            continue
        base_cell = bases.iloc[0]
        base = _by_round(group[group["cell"] == base_cell])
        for key, rows in group[group["cell"] != base_cell].groupby(CELL, sort=False, dropna=False):
            both = _by_round(rows).join(base.add_suffix("_base"), how="inner")
            found.append(
                {
                    **dict(zip(CELL, key, strict=True)),
                    "base": base_cell,
                    "base_codec": str(group.loc[group["cell"] == base_cell, "codec"].iloc[0]),
                    "durability": durability,
                    "metrics": {
                        name: plain(paired_ratio(*_pairs(both, name))) for name in RATIOS if name in both.columns
                    },
                }
            )
    return found


def _by_round(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates("round").set_index("round")[[name for name in RATIOS if name in rows]]


def _pairs(both: pd.DataFrame, name: str) -> tuple[list[float], list[float]]:
    there = both[[name, f"{name}_base"]].dropna()
    return list(there[name]), list(there[f"{name}_base"])


def plain_number(value: Any) -> Any:
    """As JSON can hold it: an infinite number, which means censored, is the string "inf"."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def plain(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON can hold it: an infinite number, which means censored, is the string "inf"."""
    numbers = {"estimate": estimate.value, "low": estimate.low, "high": estimate.high, "coverage": estimate.coverage}
    safe = {name: plain_number(number) for name, number in numbers.items()}
    return {**safe, "n": estimate.n, "reason": estimate.reason}
