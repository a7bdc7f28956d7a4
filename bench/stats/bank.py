"""Computes what a bank of A/A sets knows of a measure: its variance between sets and within them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.moderation import fit_variance_prior
from bench.stats.sets import MIN_SETS, SetPrior, SetTable, fit_additive, measure_scatter

LEAST_DEGREES, MOST_DEGREES = 2.0, 12.0
"""Of a prior. At the most it counts as much as a run of four sets of five cells: the machine may be another one today
than when the bank was measured."""
MIN_BANK_SETS = 2 * MIN_SETS
"""The fewest of which it can be told how much scatter differs from run to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankedMeasure:
    """What a bank knows of one measure, as variances of logarithms."""

    between: float
    """Of a cell from set to set, without what is within sets."""
    within: float
    """Of one slice of a cell; 0 for a measure without slices."""
    degrees: float
    """Of freedom, for which ``between`` counts."""
    share: float = 1.0
    """Of what is within sets, how much shows in them."""
    sets: int

    @property
    def prior(self) -> SetPrior:
        return SetPrior(self.between, self.degrees, self.share)


def compute_bank(tables: Sequence[SetTable]) -> BankedMeasure | None:
    """Return what A/A sets tell of a measure; several tables are of several runs, quiet and busy ones.

    Every MIN_SETS successive sets are a run, whose pooled variance is one estimate; the prior's middle and degrees of
    freedom come from how these differ (``fit_variance_prior``), kept to LEAST_DEGREES to MOST_DEGREES. What is within
    sets is taken off, since each run measures its own. None for fewer than MIN_BANK_SETS sets, or without any scatter.
    """
    found: list[tuple[float, int]] = []
    withins: list[tuple[float, float, int]] = []
    for table in tables:
        sets = table.values.shape[1]
        for first in range(0, sets - MIN_SETS + 1, MIN_SETS):
            part = SetTable(table.values[:, first : first + MIN_SETS], table.slices[:, first : first + MIN_SETS])
            variance, degrees = fit_additive(part.values)
            scatter = measure_scatter(part)
            if degrees and variance > 0 and scatter is not None:
                found.append((variance, degrees))
                withins.append((scatter.within, scatter.within * table.slices.shape[2], degrees))
    if len(found) < MIN_BANK_SETS / MIN_SETS:
        return None
    middle, prior_degrees = fit_variance_prior([variance for variance, _ in found], [degrees for _, degrees in found])
    weight = sum(degrees for _, _, degrees in withins)
    of_set, of_slice = (sum(one[at] * one[2] for one in withins) / weight for at in (0, 1))
    return BankedMeasure(
        between=max(0.0, middle - of_set),
        within=of_slice,
        degrees=min(max(prior_degrees, LEAST_DEGREES), MOST_DEGREES),
        share=min(1.0, middle / of_set) if of_set else 1.0,
        sets=sum(table.values.shape[1] for table in tables),
    )
