"""Sets the figures of two runs side by side, each beside a reference that both runs measured at the same time.

A machine is faster in one hour than in another, by a fifth and more. What all cells of a run share is in its reference
too, so the ratio of ratios, (cell in B / reference in B) / (cell in A / reference in A), does not have it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd

from bench.results.measures import columns_used_in, holds_speed
from bench.results.set_tables import SetStatistics
from bench.results.store import RunFolder
from bench.stats.equivalence import classify_ratio
from bench.stats.following import Followed, find_chance_beyond_following
from bench.stats.holm import adjust_chances
from bench.stats.intervals import CONFIDENCE, Estimate, estimate_median
from bench.stats.log_ratio import LogRatio, divide_ratios
from bench.stats.paired import mean_log_ratio
from bench.stats.summary import BASELINE_TRANSPORT, YARDSTICK
from bench.stats.unpaired import unpaired_ratio

LENT = dict.fromkeys(("cpu_us_per_order_broker", "cpu_us_per_order_database"), "cpu_us_per_order_services")
"""By measure what a reference without such a server has in its place: its services' CPU is of the same machine."""


class Mark(StrEnum):
    """What is said of a figure."""

    NONE = ""
    PERHAPS = "perhaps"
    """It differs when looked at by itself, and so would some of so many figures by chance."""
    STAR = "*"
    """It differs, and that holds when all figures are looked at together."""
    DIFFERS = "differs"
    """A count that is more than a tenth away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measure of one cell in both runs."""

    a: Estimate
    b: Estimate
    change: Estimate
    """B to A. A time has the hour of each run in it, a count has not."""
    beside: Estimate | None = None
    """The ratio of ratios. None for a count, for the reference itself and without a reference."""
    chance: float | None = None
    """How likely chance alone makes so large a ``beside``: the greater one of two, that the cell follows the machine as
    the reference does, and that it follows it as it did from set to set within the runs."""
    mark: Mark = Mark.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The cell beside which the others are compared."""

    cell: str
    is_yardstick: bool
    """Else it is a method, which may have changed itself."""
    moved: Mapping[str, Estimate]
    """By measure B to A, where the interval leaves 1 out."""
    alone: tuple[str, ...]
    """Of ``moved``, the measures at which most others did not follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """How many figures were looked at, and what is said of them."""

    figures: int
    """Those with an interval beside the reference."""
    by_chance: float
    """How many of them would have an interval that leaves 1 out if nothing differed."""
    stars: int
    perhaps: int


@dataclass(frozen=True, slots=True)
class RunMeasures:
    """What a comparison reads of one run."""

    trials: pd.DataFrame
    statistics: SetStatistics | None

    @classmethod
    def read(cls, run: RunFolder) -> "RunMeasures":
        """Read a run. Raises ResultsError."""
        return cls(run.trials(), run.set_statistics())

    def rows(self, cell: str) -> pd.DataFrame:
        """Return the valid trials of a cell."""
        return self.trials[(self.trials["cell"] == cell) & self.trials["valid"]]

    def values(self, metric: str, cell: str) -> list[float]:
        """Return a measure's numbers, trial by trial, those that are missing left out."""
        rows = self.rows(cell)
        return list(rows[metric].dropna()) if metric in rows else []

    def level(self, metric: str, cell: str) -> Estimate:
        """Return a cell's number: over sets as the run's statistics have it, else the median over trials."""
        whole = None if self.statistics is None else self.statistics.estimate_whole(metric, cell)
        return whole or estimate_median(self.values(metric, cell))

    def log_ratio(self, metric: str, cell: str, base: str, base_metric: str) -> LogRatio:
        """Return the logarithm of the cell's measure over one of the base's, set by set or round by round."""
        if self.statistics is not None:
            return self.statistics.log_ratio(metric, cell, base, base_metric)
        both = self._join(metric, cell, base, base_metric)
        return mean_log_ratio(list(both["cell"]), list(both["base"]))

    def followed(self, metric: str, cell: str, base: str, base_metric: str) -> Followed:
        """Return what the ratio and the base did from set to set, or from round to round."""
        if self.statistics is not None:
            cells = self.statistics.cells
            of_cell, of_base = (
                self.statistics.table(name).values[cells.index(one)]
                for name, one in ((metric, cell), (base_metric, base))
            )
        else:
            both = self._join(metric, cell, base, base_metric)
            with np.errstate(divide="ignore"):
                of_cell, of_base = (np.log(both[name].to_numpy(dtype=float)) for name in ("cell", "base"))
        there = np.isfinite(of_cell) & np.isfinite(of_base)
        return Followed(of_cell[there] - of_base[there], of_base[there])

    def _join(self, metric: str, cell: str, base: str, base_metric: str) -> pd.DataFrame:
        of_both = [
            self.rows(name).drop_duplicates("round").set_index("round")[column]
            for name, column in ((cell, metric), (base, base_metric))
        ]
        return pd.concat(of_both, axis=1, join="inner", keys=["cell", "base"]).dropna()


def choose_reference(transports: Mapping[str, str]) -> str | None:
    """Return the yardstick, else REST, else the first of the cells that both runs have, by their transports.

    None for fewer than two cells.
    """
    if len(transports) < 2:
        return None
    if YARDSTICK in transports:
        return YARDSTICK
    return next((cell for cell, name in transports.items() if name == BASELINE_TRANSPORT), next(iter(transports)))


def build_figures(
    a: RunMeasures, b: RunMeasures, cells: Sequence[str], reference: str | None
) -> dict[str, dict[str, Figure]]:
    """Return the figures by cell and measure, marked by Holm's rule over all that have an interval.

    Acceptance is left out where it is completion in every trial, as in a chain.
    """
    found = {
        cell: {metric: _build_figure(a, b, metric, cell, reference) for metric in _find_metrics(a, b, cell)}
        for cell in cells
    }
    of_all = [(cell, metric, one) for cell, of in found.items() for metric, one in of.items()]
    judged = [(cell, metric, one, one.chance) for cell, metric, one in of_all if one.chance is not None]
    adjusted = adjust_chances([chance for *_, chance in judged])
    for (cell, metric, one, chance), together in zip(judged, adjusted, strict=True):
        found[cell][metric] = replace(one, mark=_find_mark(chance, together))
    return found


def _find_metrics(a: RunMeasures, b: RunMeasures, cell: str) -> list[str]:
    is_chain = all(_accepts_on_finishing(run.rows(cell)) for run in (a, b))
    return [
        metric
        for metric in columns_used_in("compare")
        if not (is_chain and metric.startswith("accept_"))
        and any(run.level(metric, cell).value is not None for run in (a, b))
    ]


def _accepts_on_finishing(rows: pd.DataFrame) -> bool:
    return bool((rows["accept_p50_us"] == rows["finish_p50_us"]).all()) if "accept_p50_us" in rows else False


def _build_figure(a: RunMeasures, b: RunMeasures, metric: str, cell: str, reference: str | None) -> Figure:
    levels = a.level(metric, cell), b.level(metric, cell)
    change = _divide_levels(b.values(metric, cell), a.values(metric, cell), *levels)
    if not holds_speed(metric):
        mark = Mark.NONE if classify_ratio(change).is_tie else Mark.DIFFERS
        return Figure(a=levels[0], b=levels[1], change=change, mark=mark)
    if reference in (None, cell):
        return Figure(a=levels[0], b=levels[1], change=change)
    base = str(reference)
    lends = metric in LENT and not (a.values(metric, base) and b.values(metric, base))
    asked = metric, cell, base, LENT[metric] if lends else metric
    beside = divide_ratios(b.log_ratio(*asked), a.log_ratio(*asked))
    chance = beside.find_chance()
    if chance is not None:
        chance = max(chance, find_chance_beyond_following(b.followed(*asked), a.followed(*asked)) or 0.0)
    return Figure(a=levels[0], b=levels[1], change=change, beside=beside.to_estimate(), chance=chance)


def _divide_levels(values: Sequence[float], bases: Sequence[float], a: Estimate, b: Estimate) -> Estimate:
    """B to A by their trials, or by what all sets together tell, which leaves no interval."""
    if (values and bases) or not a.value or b.value is None:
        return unpaired_ratio(values, bases)
    return Estimate(b.value / a.value, None, None, None, min(a.n, b.n), "it is told from all sets of each run together")


def _find_mark(chance: float, adjusted: float) -> Mark:
    if adjusted <= 1 - CONFIDENCE:
        return Mark.STAR
    return Mark.PERHAPS if chance <= 1 - CONFIDENCE else Mark.NONE


def describe_reference(cell: str, figures: Mapping[str, Mapping[str, Figure]]) -> Reference:
    """Return the reference with what moved in it from A to B, and whether the other cells followed."""
    moved = {
        metric: one.change
        for metric, one in figures[cell].items()
        if holds_speed(metric) and _leaves_out_one(one.change)
    }
    others = [of for name, of in figures.items() if name != cell]
    alone = []
    for metric in moved:
        marks = [of[metric].mark for of in others if metric in of and of[metric].chance is not None]
        if sum(mark is Mark.STAR for mark in marks) > len(marks) / 2:
            alone.append(metric)
    return Reference(cell=cell, is_yardstick=cell == YARDSTICK, moved=moved, alone=tuple(alone))


def _leaves_out_one(ratio: Estimate) -> bool:
    return ratio.low is not None and ratio.high is not None and not ratio.low <= 1 <= ratio.high


def count_claims(figures: Mapping[str, Mapping[str, Figure]]) -> Claims:
    """Return how many figures were looked at beside the reference, and how many have a mark."""
    judged = [one for of in figures.values() for one in of.values() if one.chance is not None]
    return Claims(
        figures=len(judged),
        by_chance=round(len(judged) * (1 - CONFIDENCE), 3),
        stars=sum(one.mark is Mark.STAR for one in judged),
        perhaps=sum(one.mark is Mark.PERHAPS for one in judged),
    )
