"""Summarises outages.csv: the effect of an outage on each cell."""

from typing import Any

import pandas as pd

from bench.stats.intervals import estimate_median
from bench.stats.summary import is_cell_valid, to_json_estimate

ORDERS = (
    *("planned", "failed", "unfinished", "lost", "redelivered", "duplicate_outcomes", "charged_unconfirmed"),
    "delayed",
)
"""Summed over all trials, the invalid ones too: what one of six lost is no median of theirs. None: not known of all."""
TIMES = (
    *("accept_before_p50_us", "accept_during_p50_us", "before_p50_us", "during_p50_us", "longest_us"),
    *("away_s", "backlog_drained_s", "recovery_time_s"),
)


def summarise_outages(outages: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each cell and fault, orders summed over trials and median times over the valid trials.

    Times have their intervals. ``outages`` is what the run's ``outages()`` returns. Of a cell with too many invalid
    trials all trials are in the medians.
    """
    whole = outages.assign(away_s=outages["fault_end_s"] - outages["fault_begin_s"])
    found = []
    for (cell, fault), rows in whole.groupby(["cell", "fault"], sort=False):
        judged = rows[rows["valid"]] if is_cell_valid(rows) else rows
        failures: dict[str, int] = {}
        for said in rows["failures"]:
            for name, count in (entry.split(":") for entry in str(said).split(";") if ":" in entry):
                failures[name] = failures.get(name, 0) + int(count)
        found.append(
            {
                "cell": cell,
                "fault": fault,
                "trials": len(rows),
                "valid_trials": int(rows["valid"].sum()),
                "valid": is_cell_valid(rows),
                "orders": {name: int(rows[name].sum()) if rows[name].notna().all() else None for name in ORDERS},
                "failures": failures,
                "times": {name: to_json_estimate(estimate_median(judged[name].dropna())) for name in TIMES},
            }
        )
    return found
