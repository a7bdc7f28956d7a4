"""Measures how slow the first orders of a slice are: the mean response by time since its first order.

It reads a run in sets with raw orders, whose lead-in is too short to hide them: RAW=1 LEAD_IN=1ms. How long a lead-in
has to be follows from it (bench/profile/schema.py has what is usual).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from bench.errors import ResultsError
from bench.report.formatting import format_number
from bench.results.rows import trial_name
from bench.results.store import RunFolder
from bench.stats.sets import MIN_SETS_OF_LEVEL, Numbers, estimate_level

EDGES_MS = (0.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadInRow:
    """A cell's orders that were planned in one stretch of its slices."""

    cell: str
    from_ms: float
    """Since the first order of the slice."""
    until_ms: float
    sets: int
    """In which there are orders of this stretch and of the last one."""
    orders: int
    unfinished: int
    """Of them, which are in no mean."""
    response_ms: float | None
    """The mean over sets of the mean response."""
    times_last: float | None
    """The ratio to the last stretch, the mean over sets; from three on it has a 95 % interval, Student's t."""
    low: float | None
    high: float | None


def measure_lead_in(run: RunFolder) -> list[LeadInRow]:
    """Returns a row for each cell and stretch, the first stretch first.

    Slices with orders in their lead-in are left out, since their first order is not in raw/. Invalid rows count, as a
    short lead-in makes them. Raises ResultsError where the run has nothing to tell it by.
    """
    slices = run.slices()
    if slices.empty:
        raise ResultsError(
            f"{run.path} was not played in sets; measure with SLICE=500ms RAW=1 LEAD_IN=1ms", code="no-sets"
        )
    whole = slices[slices["lead_in_planned"] == 0]
    if whole.empty:
        raise ResultsError(
            f"the lead-ins of {run.path} hide the first orders of its slices; measure with LEAD_IN=1ms RAW=1",
            code="lead-in-hides",
        )
    found: dict[str, list[pd.DataFrame]] = {}
    for _, of_cell in whole.groupby(["round", "slot", "cell"], sort=True):
        set_, slot, cell = (str(of_cell[name].iloc[0]) for name in ("round", "slot", "cell"))
        found.setdefault(cell, []).append(
            _read_orders(run.path / "raw" / f"{trial_name(set_, slot, cell)}.csv", of_cell)
        )
    return [row for cell, sets in found.items() for row in _summarise(cell, sets)]


def _read_orders(path: Path, slices: pd.DataFrame) -> pd.DataFrame:
    """Returns the orders of these slices with ``since_ms``, their place, and ``response_ms``, NaN if it has none."""
    try:
        orders = pd.read_csv(path).sort_values("number")
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read: {error}; measure with RAW=1", code="no-raw-orders") from error
    firsts = slices.sort_values("first_number")
    at = np.searchsorted(firsts["first_number"], orders["number"], side="right") - 1
    ends = (firsts["first_number"] + firsts["planned"]).to_numpy()
    inside = (at >= 0) & (orders["number"].to_numpy() < ends[at])
    orders = orders.assign(slice=at)[inside]
    begun_ns = orders.groupby("slice")["planned_ns"].transform("min")
    finished = orders["status"] == "finished"
    return orders.assign(
        since_ms=(orders["planned_ns"] - begun_ns) / 1e6,
        response_ms=((orders["finished_ns"] - orders["planned_ns"]) / 1e6).where(finished),
    )


def _summarise(cell: str, sets: Sequence[pd.DataFrame]) -> Iterator[LeadInRow]:
    stretches = list(pairwise(EDGES_MS))
    of_stretch = [
        [orders[(orders["since_ms"] >= low) & (orders["since_ms"] < high)] for orders in sets]
        for low, high in stretches
    ]
    means: Numbers = np.array([[orders["response_ms"].mean() for orders in of_sets] for of_sets in of_stretch])
    for (from_ms, until_ms), of_sets, mean_ms in zip(stretches, of_stretch, means, strict=True):
        known = np.isfinite(mean_ms) & np.isfinite(means[-1])
        ratio = estimate_level(np.log(mean_ms[known] / means[-1][known]))
        yield LeadInRow(
            cell=cell,
            from_ms=from_ms,
            until_ms=until_ms,
            sets=int(known.sum()),
            orders=sum(map(len, of_sets)),
            unfinished=sum(int(orders["response_ms"].isna().sum()) for orders in of_sets),
            response_ms=float(mean_ms[known].mean()) if known.any() else None,
            times_last=None if ratio is None else ratio.value,
            low=None if ratio is None else ratio.low,
            high=None if ratio is None else ratio.high,
        )


def lead_in_table(rows: Sequence[LeadInRow]) -> Table:
    """A row for each cell and stretch. Reads 80 columns wide."""
    table = Table(
        title=f"Mean response by time since the slice's first order; 95 % intervals from {MIN_SETS_OF_LEVEL} sets on",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=None,
    )
    table.add_column("cell", overflow="fold")
    for heading in ("ms since", "orders", "unfin.", "sets", "response ms", "times the last"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        table.add_row(
            "" if row.cell == last else row.cell,
            f"{row.from_ms:g}-{row.until_ms:g}",
            f"{row.orders:,}",
            f"{row.unfinished:,}",
            str(row.sets),
            "n/a" if row.response_ms is None else format_number(row.response_ms),
            _format_ratio(row),
        )
        last = row.cell
    return table


def _format_ratio(row: LeadInRow) -> str:
    if row.times_last is None:
        return "n/a"
    ends = "" if row.low is None or row.high is None else f" ({row.low:.3g}-{row.high:.3g})"
    return f"{row.times_last:.3g}{ends}"
