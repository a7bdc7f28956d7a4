"""Builds the statistics' tables of a run in sets: by measure a value of each cell and set, and its slices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram

from bench.results.histograms import QUANTILES
from bench.results.leave_one_out import FromAllSets, compute_from_all
from bench.results.rows import SliceRow, trial_name
from bench.stats.intervals import Estimate
from bench.stats.jackknife import compute_pseudo_values, estimate_from_all
from bench.stats.log_ratio import LogRatio
from bench.stats.sets import (
    Numbers,
    Scatter,
    SetPrior,
    SetTable,
    estimate_level,
    measure_log_ratio,
    measure_scatter,
)
from bench.stats.summary import is_cell_valid

SETS_PLAN_NAME = "sets"
"""What the manifest of such a run has as its ``plan``."""
FROM_ALL_SETS: Mapping[str, tuple[str, str]] = {
    "finish_p99_us": ("finish", "finished"),
    "accept_p99_us": ("accept", "accepted"),
}
"""Measures that are told from the orders of all sets together: the histogram's name, and the count of those in it."""

ReadHistograms = Callable[[str], Iterable[tuple[str, str, HdrHistogram]]]


@dataclass(frozen=True)
class SetStatistics:
    """Estimates of a run in sets. Invalid trials are left out, as are cells with too many of them."""

    trials: pd.DataFrame
    slices: pd.DataFrame
    read_histograms: ReadHistograms
    """Yields trial, series and histogram of one series."""
    priors: Mapping[str, SetPrior]
    """Of a bank, by measure; empty without one."""
    _known: dict[str, tuple[SetTable, Scatter | None]] = field(default_factory=dict, init=False)
    _from_all: dict[str, dict[str, tuple[Sequence[int], FromAllSets]]] = field(default_factory=dict, init=False)

    @cached_property
    def _valid(self) -> pd.DataFrame:
        judged = self.trials.groupby("cell", sort=False).filter(is_cell_valid) if len(self.trials) else self.trials
        return judged[judged["valid"]].drop_duplicates(["round", "cell"])

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells that are compared."""
        return tuple(dict.fromkeys(self._valid["cell"]))

    @cached_property
    def sets(self) -> tuple[int, ...]:
        """Numbers of the sets that have any valid trial."""
        return tuple(sorted({int(one) for one in self._valid["round"]}))

    def table(self, metric: str) -> SetTable:
        """Return the logarithms of a measure; those of FROM_ALL_SETS are pseudo-values, without slices."""
        return self._measure(metric)[0]

    def ratio(self, metric: str, cell: str, base: str) -> Estimate:
        """Return how many times the base's the cell's measure is. Raises ValueError for cells that are not compared."""
        return self.log_ratio(metric, cell, base).to_estimate()

    def log_ratio(self, metric: str, cell: str, base: str, base_metric: str = "") -> LogRatio:
        """Return the logarithm of ``ratio``, with its standard error. Raises ValueError as that does.

        With ``base_metric``, which is none of FROM_ALL_SETS, it is to that measure of the base.
        """
        if base_metric not in ("", metric):
            return self._mix(metric, cell, base, base_metric)
        table, scatter = self._measure(metric)
        told = None
        if metric in FROM_ALL_SETS:
            of = self._collect_from_all(metric)
            if cell not in of or base not in of:
                return LogRatio(None, None, 0.0, 0, "all sets together have too few orders to tell it")
            with np.errstate(invalid="ignore"):
                told = float(np.log(of[cell][1].whole) - np.log(of[base][1].whole))
        return measure_log_ratio(table, scatter, self.cells.index(cell), self.cells.index(base), told)

    def _mix(self, metric: str, cell: str, base: str, base_metric: str) -> LogRatio:
        table, lent, at = self._build(metric), self._build(base_metric), self.cells.index(base)
        table.values[at], table.slices[at] = lent.values[at], lent.slices[at]
        return measure_log_ratio(table, measure_scatter(table, self.priors.get(metric)), self.cells.index(cell), at)

    def estimate_whole(self, metric: str, cell: str) -> Estimate | None:
        """Return a cell's number over all sets: p99 from all their orders, others as the mean over sets.

        None with too few orders, and where some set has no number, or one that is not positive.
        """
        if metric in FROM_ALL_SETS:
            found = self._collect_from_all(metric).get(cell)
            return None if found is None else estimate_from_all(found[1].whole, found[1].without)
        if cell not in self.cells:
            return None
        of_cell = self._valid.loc[self._valid["cell"] == cell, metric]
        return estimate_level(_take_logs(of_cell.to_numpy(dtype=float)))

    def is_of_bank(self, metric: str) -> bool:
        """Return whether the scatter between sets is still the bank's alone."""
        scatter = self._measure(metric)[1]
        return scatter is not None and scatter.of_bank

    def _measure(self, metric: str) -> tuple[SetTable, Scatter | None]:
        if metric not in self._known:
            table = self._build_pseudo(metric) if metric in FROM_ALL_SETS else self._build(metric)
            self._known[metric] = table, measure_scatter(table, self.priors.get(metric))
        return self._known[metric]

    def _build(self, metric: str) -> SetTable:
        values = np.full((len(self.cells), len(self.sets)), np.nan)
        if metric in self._valid:
            for cell, set_, value in self._valid[["cell", "round", metric]].itertuples(index=False):
                values[self.cells.index(cell), self.sets.index(set_)] = value
        numbers = int(self.slices["slice"].max()) if len(self.slices) and metric in SliceRow.__struct_fields__ else 0
        slices = np.full((*values.shape, numbers), np.nan)
        if numbers:
            there = self.slices[self.slices["valid"] & self.slices["cell"].isin(self.cells)]
            for cell, set_, number, value in there[["cell", "round", "slice", metric]].itertuples(index=False):
                slices[self.cells.index(cell), self.sets.index(int(set_)), int(number) - 1] = value
        return SetTable(_take_logs(values), _drop_open(_take_logs(slices)))

    def _build_pseudo(self, metric: str) -> SetTable:
        values = np.full((len(self.cells), len(self.sets)), np.nan)
        for cell, (sets, found) in self._collect_from_all(metric).items():
            with np.errstate(invalid="ignore"):
                logs = compute_pseudo_values(float(np.log(found.whole)), [float(np.log(one)) for one in found.without])
            for set_, value in zip(sets, logs, strict=True):
                values[self.cells.index(cell), self.sets.index(set_)] = np.inf if np.isnan(value) else value
        return SetTable(values, np.empty((*values.shape, 0)))

    def _collect_from_all(self, metric: str) -> dict[str, tuple[Sequence[int], FromAllSets]]:
        if metric not in self._from_all:
            self._from_all[metric] = self._compute_from_all(metric)
        return self._from_all[metric]

    def _compute_from_all(self, metric: str) -> dict[str, tuple[Sequence[int], FromAllSets]]:
        series, counted = FROM_ALL_SETS[metric]
        rows = {trial_name(row["round"], row["slot"], row["cell"]): row for row in self._valid.to_dict("records")}
        of: dict[str, list[tuple[int, int, HdrHistogram]]] = {}
        for trial, _, histogram in self.read_histograms(series):
            if (row := rows.pop(trial, None)) is not None:
                of.setdefault(row["cell"], []).append((row["round"], row["planned"] - row[counted], histogram))
        found: dict[str, tuple[Sequence[int], FromAllSets]] = {}
        quantile = QUANTILES[metric.removeprefix(f"{series}_")]
        for cell, sets in of.items():
            numbers, censored, histograms = zip(*sets, strict=True)
            if (one := compute_from_all(histograms, censored, quantile)) is not None:
                found[cell] = numbers, one
        return found


def _take_logs(values: Numbers) -> Numbers:
    """Zero becomes minus infinity, which is censored; less than zero has no ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values)


def _drop_open(slices: Numbers) -> Numbers:
    """Slices that are censored or zero tell nothing of scatter."""
    return np.where(np.isfinite(slices), slices, np.nan)
