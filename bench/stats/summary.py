"""Summarises a table of trials: estimates per cell, and ratios between cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from bench.stats.intervals import Estimate, estimate_median
from bench.stats.paired import paired_ratio

CELL_COLUMNS = ["cell", "transport", "client", "codec"]
MAX_INVALID_SHARE = 1 / 3
"""More invalid trials than this make a cell invalid: leaving them out would flatter a method that causes them."""
BASELINE_TRANSPORT = "rest"
YARDSTICK = "bare-rest"
"""The cell of the bare REST chain, in runs that have one."""
YARDSTICK_PREFIX = "bare-"
"""With which the transports of bare chains begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryColumns:
    """Which columns of a table of trials are summarised; those that it does not have are left out."""

    metrics: Sequence[str]
    """Their medians."""
    orders: Sequence[str]
    """Summed over all trials, the invalid ones too: losses are not dropped with the trial that had them."""
    ratio_metrics: Sequence[str]
    """Their ratios to REST."""
    like: Sequence[str]
    """What two cells have to share for a ratio."""
    optional_like: Sequence[str]
    """These as well where REST has several of them."""


class RunStatistics(Protocol):
    """What a run's plan has estimated in its own way, in place of paired rounds and of medians over trials."""

    def ratio(self, metric: str, cell: str, base: str) -> Estimate:
        """Return how many times the base's the cell's measure is; both are valid."""
        ...

    def estimate_whole(self, metric: str, cell: str) -> Estimate | None:
        """Return a cell's number over all trials; None where its median over trials stands for it."""
        ...


def summarise_trials(
    trials: pd.DataFrame, columns: SummaryColumns, statistics: RunStatistics | None = None
) -> dict[str, Any]:
    """Return the median of every metric per cell, in order of appearance, and the valid cells' ratios to REST.

    With ``statistics`` ratios are theirs, and so are the cells' numbers where they have them. A run with a yardstick
    has ``yardstick_ratios`` as well.
    """
    cells = [
        _summarise_cell(key, rows, columns, statistics)
        for key, rows in trials.groupby(CELL_COLUMNS, sort=False, dropna=False)
    ]
    summary = {"cells": cells, "ratios": compute_ratios(trials, columns, statistics)}
    if statistics is not None and (beside := compute_yardstick_ratios(trials, columns, statistics)):
        summary["yardstick_ratios"] = beside
    return summary


def is_yardstick(transport: str) -> bool:
    """Return whether this is a bare chain and no method."""
    return transport.startswith(YARDSTICK_PREFIX)


def drop_yardsticks(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of methods alone."""
    return trials[~trials["transport"].map(is_yardstick).astype(bool)] if len(trials) else trials


def is_cell_valid(rows: pd.DataFrame) -> bool:
    """Return whether a cell with these trials may be compared with others."""
    return len(rows) > 0 and float((~rows["valid"]).mean()) <= MAX_INVALID_SHARE


def select_shown_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of a cell's numbers: the valid ones, and of an invalid cell all that had orders."""
    return rows[rows["valid"] if is_cell_valid(rows) else rows["planned"] > 0]


def _summarise_cell(
    key: Any, rows: pd.DataFrame, columns: SummaryColumns, statistics: RunStatistics | None
) -> dict[str, Any]:
    measured = select_shown_trials(rows)
    whole: dict[str, Estimate] = {}
    if statistics is not None and is_cell_valid(rows):
        found = {name: statistics.estimate_whole(name, key[0]) for name in columns.metrics if name in rows}
        whole = {name: one for name, one in found.items() if one is not None}
    return {
        **dict(zip(CELL_COLUMNS, key, strict=True)),
        "durability": str(rows["durability"].iloc[0]),
        "offered_per_s": float(rows["offered_per_s"].median()),
        "trials": len(rows),
        "valid_trials": int(rows["valid"].sum()),
        "complete_trials": int(rows["complete"].sum()),
        "shown_trials": len(measured),
        "valid": is_cell_valid(rows),
        "orders": {name: int(rows[name].sum()) for name in columns.orders if name in rows},
        "metrics": {
            name: to_json_estimate(whole.get(name) or estimate_median(measured[name].dropna()))
            for name in columns.metrics
            if name in rows
        },
    }


def compute_ratios(
    trials: pd.DataFrame, columns: SummaryColumns, statistics: RunStatistics | None = None
) -> list[dict[str, Any]]:
    """Return the ratios of each cell to the REST cell that is like it, by paired rounds or by ``statistics``.

    That is the first REST cell that agrees with it in ``columns.like``. Empty without REST. Bare chains have none.
    """
    trials = drop_yardsticks(trials)
    judged = trials.groupby(CELL_COLUMNS, sort=False, dropna=False).filter(is_cell_valid)
    valid = judged[judged["valid"]]
    found = []
    of_base = valid[valid["transport"] == BASELINE_TRANSPORT]
    alike = [name for name in columns.like if name in valid]
    alike += [name for name in columns.optional_like if name in valid and of_base[name].nunique() > 1]
    for _, group in valid.groupby(alike, sort=False):
        bases = group.loc[group["transport"] == BASELINE_TRANSPORT, "cell"]
        if bases.empty:
            continue
        base_cell = bases.iloc[0]
        base = _index_by_round(group[group["cell"] == base_cell], columns)
        for key, rows in group[group["cell"] != base_cell].groupby(CELL_COLUMNS, sort=False, dropna=False):
            both = _index_by_round(rows, columns).join(base.add_suffix("_base"), how="inner")
            ratios = {
                name: paired_ratio(*_pair_values(both, name))
                if statistics is None
                else statistics.ratio(name, key[0], base_cell)
                for name in columns.ratio_metrics
                if name in both.columns
            }
            found.append(
                {
                    **dict(zip(CELL_COLUMNS, key, strict=True)),
                    "base": base_cell,
                    "base_codec": str(group.loc[group["cell"] == base_cell, "codec"].iloc[0]),
                    "durability": str(group["durability"].iloc[0]),
                    "metrics": {name: to_json_estimate(ratio) for name, ratio in ratios.items()},
                }
            )
    return found


def compute_yardstick_ratios(
    trials: pd.DataFrame, columns: SummaryColumns, statistics: RunStatistics
) -> list[dict[str, Any]]:
    """Return the ratios of each valid cell to the bare chain of its method, where there is one, else to REST's."""
    firsts = trials.groupby(CELL_COLUMNS, sort=False, dropna=False).filter(is_cell_valid).drop_duplicates("cell")
    bare = [str(cell) for cell in firsts["cell"] if is_yardstick(str(cell))]
    found = []
    for row in drop_yardsticks(firsts).to_dict("records"):
        base = next((name for name in (f"{YARDSTICK_PREFIX}{row['transport']}", YARDSTICK) if name in bare), None)
        if base is not None:
            ratios = {
                name: statistics.ratio(name, row["cell"], base) for name in columns.ratio_metrics if name in trials
            }
            metrics = {name: to_json_estimate(ratio) for name, ratio in ratios.items()}
            found.append({**{name: row[name] for name in CELL_COLUMNS}, "base": base, "metrics": metrics})
    return found


def _index_by_round(rows: pd.DataFrame, columns: SummaryColumns) -> pd.DataFrame:
    return rows.drop_duplicates("round").set_index("round")[[name for name in columns.ratio_metrics if name in rows]]


def _pair_values(both: pd.DataFrame, name: str) -> tuple[list[float], list[float]]:
    there = both[[name, f"{name}_base"]].dropna()
    return list(there[name]), list(there[f"{name}_base"])


def to_json_number(value: Any) -> Any:
    """Return a number as JSON can hold it: an infinite one, which means censored, is the string "inf"."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def to_json_estimate(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON can hold it: an infinite number, which means censored, is the string "inf"."""
    numbers = {"estimate": estimate.value, "low": estimate.low, "high": estimate.high, "coverage": estimate.coverage}
    safe = {name: to_json_number(number) for name, number in numbers.items()}
    return {**safe, "n": estimate.n, "reason": estimate.reason}
