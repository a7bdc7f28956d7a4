"""Estimates ratios between cells of a run in sets: Student's t, with the scatter between sets pooled and moderated.

A value is the logarithm of what a cell showed in one set. It differs from set to set by what all cells share, which
cancels; by the luck of its processes (between sets); and by its orders and the seconds in which they came (within).
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import t_quantile
from bench.stats.intervals import CONFIDENCE, Estimate
from bench.stats.log_ratio import LogRatio

Numbers = npt.NDArray[np.float64]

MIN_SETS_OF_LEVEL = 3
"""Of which two degrees of freedom are left."""
MIN_SETS = 4
"""Before so many are done the scatter between sets is the bank's alone."""
PAIR_DEGREES = 2.0
"""For how many degrees of freedom the pooled scatter counts beside what the sets of a pair show themselves. Few, since
cells differ in the luck of their processes."""
PAIR_DEGREES_WITHOUT_SLICES = 1.0
"""The same where slices do not say how much noisier one cell is than another."""


@dataclass(frozen=True, slots=True)
class SetPrior:
    """What a bank of A/A sets knows of one measure."""

    between: float
    """The variance between sets of a cell's logarithm, without what is within sets."""
    degrees: float
    """How many degrees of freedom it counts for."""
    share: float = 1.0
    """How much of what slices scatter within sets shows in the sets: less than 1 where a set's median shrugs off its
    worst slices."""

    def expect(self, within: float) -> float:
        """Return the variance of a cell's value in a set whose slices say ``within``."""
        return self.between + self.share * within


@dataclass(frozen=True, slots=True)
class SetTable:
    """The logarithms of one measure in a run. NaN: missing; infinite: censored, or zero."""

    values: Numbers
    """By cell and set."""
    slices: Numbers
    """By cell, set and slice; those of one number are neighbours in time. A measure without slices has a length of 0
    there."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """How far a cell's value in a set is from what its row and its column say; all numbers are variances."""

    variance: float
    """Between sets and within them, pooled over all cells."""
    degrees: float
    within: float
    """The part that is within sets; 0 without slices."""
    of_bank: bool
    """Whether the part between sets is the bank's alone."""


def fit_additive(values: Numbers) -> tuple[float, int]:
    """Return the residual variance of the layout cell + set, and its degrees of freedom, by least squares.

    With all values there it has (cells - 1) (sets - 1) degrees of freedom; values that are not finite are left out
    (Scheffé, The Analysis of Variance, 1959, sections 4.2 and 4.4). The variance is NaN without any degree.
    """
    rows, columns = np.nonzero(np.isfinite(values))
    design = np.zeros((len(rows), sum(values.shape)))
    design[np.arange(len(rows)), rows] = 1.0
    design[np.arange(len(rows)), values.shape[0] + columns] = 1.0
    there = values[rows, columns]
    fitted, _, rank, _ = np.linalg.lstsq(design, there, rcond=None)
    degrees = len(there) - int(rank)
    if degrees < 1:
        return math.nan, 0
    return float(((there - design @ fitted) ** 2).sum()) / degrees, degrees


def measure_within(slices: Numbers, bases: Numbers) -> float:
    """Return the variance of a set's log ratio that is within sets, from ``slices`` by set and number.

    Slices are paired by their number, and a set's log ratio is taken for the mean of its pairs'. NaN when no set has
    two pairs.
    """
    differences = slices - bases
    counts = np.isfinite(differences).sum(axis=1)
    if not (counts > 1).any():
        return math.nan
    differences = differences[counts > 1]
    counts = counts[counts > 1]
    deviations = differences - _mean_there(differences)[:, None]
    squares = np.where(np.isfinite(deviations), deviations, 0.0) ** 2
    of_slice = float(squares.sum()) / float((counts - 1).sum())
    return of_slice * float((1 / counts).mean())


def _mean_there(differences: Numbers) -> Numbers:
    there = np.isfinite(differences)
    return np.asarray(np.where(there, differences, 0.0).sum(axis=1) / there.sum(axis=1))


def measure_scatter(table: SetTable, prior: SetPrior | None = None) -> Scatter | None:
    """Return the scatter of a run, moderated by what the bank knows; None where neither knows enough.

    The run's pooled variance s**2 has d degrees of freedom. The bank expects s0**2, which is its own variance between
    sets and its share of the run's within them, and counts for d0. Together they are (d0 s0**2 + d s**2) / (d0 + d),
    with d0 + d (Smyth, Statistical Applications in Genetics and Molecular Biology 3(1), article 3, 2004, section 3).
    With fewer than MIN_SETS sets it is s0**2 alone, and without a bank s**2 alone.
    """
    pairs = combinations(range(len(table.values)), 2)
    withins = [measure_within(table.slices[one], table.slices[other]) / 2 for one, other in pairs]
    known = [within for within in withins if not math.isnan(within)]
    within = math.fsum(known) / len(known) if known else 0.0
    sets = int(np.isfinite(table.values).any(axis=0).sum())
    if sets < MIN_SETS:
        return None if prior is None else Scatter(prior.expect(within), prior.degrees, within, of_bank=True)
    variance, degrees = fit_additive(table.values)
    if not degrees:
        return None
    if prior is None:
        return Scatter(variance, degrees, within, of_bank=False)
    whole = prior.degrees + degrees
    return Scatter((prior.degrees * prior.expect(within) + degrees * variance) / whole, whole, within, of_bank=False)


def measure_log_ratio(
    table: SetTable, scatter: Scatter | None, cell: int, base: int, told: float | None = None
) -> LogRatio:
    """Return the logarithm of how many times its base a cell is, by their rows of the table.

    The estimate is the mean over sets with both, or ``told``, a log ratio from all sets together, of which the values
    are pseudo-values. Of the pair the scatter expects tau**2: twice its part between sets, and what is within this
    pair's, scaled down where the slices of all pairs scatter more than their sets do. It counts for d1 degrees of
    freedom (PAIR_DEGREES) beside the variance v**2 of the pair's own n log ratios: (d1 tau**2 + (n - 1) v**2) / (d1 + n
    - 1) over n is the square of the standard error, and d1 + n - 1 its degrees of freedom, or those of the scatter
    where these are fewer. While the scatter is the bank's alone the pair's own is left out. A set that is censored or
    zero in either leaves no estimate, since without it the ratio would flatter.
    """
    with np.errstate(invalid="ignore"):  # of two infinities
        logs = table.values[cell] - table.values[base]
    both = ~(np.isnan(table.values[cell]) | np.isnan(table.values[base]))
    n = int(both.sum())
    if not n:
        return LogRatio(None, None, 0.0, 0, "no set has both")
    if open_ := int((~np.isfinite(logs[both])).sum()):
        return LogRatio(None, None, 0.0, n, f"{open_} of {n} sets are censored, or zero")
    logs = logs[both]
    middle = float(logs.mean()) if told is None else told
    if scatter is None:
        reason = f"the scatter between sets takes {MIN_SETS} sets, or a bank of A/A sets; there are {n}"
        return LogRatio(middle, None, 0.0, n, reason)
    within = measure_within(table.slices[cell], table.slices[base])
    has_slices = not math.isnan(within)
    # Slices may scatter more than sets show, as when a set's median shrugs off its worst slices.
    share = min(1.0, scatter.variance / scatter.within) if scatter.within else 1.0
    expected = 2 * max(0.0, scatter.variance - scatter.within) + share * (within if has_slices else 2 * scatter.within)
    if scatter.of_bank or n < 2:
        variance, degrees = expected, scatter.degrees
    else:
        counts = PAIR_DEGREES if has_slices else PAIR_DEGREES_WITHOUT_SLICES
        degrees = counts + n - 1
        variance = (counts * expected + (n - 1) * float(logs.var(ddof=1))) / degrees
        degrees = min(degrees, scatter.degrees)
    return LogRatio(middle, math.sqrt(variance / n), max(1.0, degrees), n)


def estimate_ratio(
    table: SetTable,
    scatter: Scatter | None,
    cell: int,
    base: int,
    told: float | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return how many times its base a cell is: ``measure_log_ratio`` turned back, with its interval."""
    return measure_log_ratio(table, scatter, cell, base, told).to_estimate(confidence)


def estimate_level(logs: Numbers, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return a cell's number by its logarithms in each set, turned back: their mean, with Student's t over the sets.

    The machine's speed, which all cells of a set share, is in it: such an interval is wide, and says nothing of ratios.
    There is none with fewer than three sets, and no estimate where a value is missing, censored or zero.
    """
    n = len(logs)
    if not n or not np.isfinite(logs).all():
        return None
    middle = float(logs.mean())
    if n < MIN_SETS_OF_LEVEL:
        return Estimate(
            math.exp(middle), None, None, None, n, f"an interval takes {MIN_SETS_OF_LEVEL} sets, there are {n}"
        )
    reach = t_quantile(1 - (1 - confidence) / 2, n - 1) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Estimate(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach), confidence, n)


def half_width(estimate: Estimate) -> float:
    """Return how far an interval reaches either way: 0.05 is 5 %; infinite without an interval."""
    if estimate.low is None or estimate.high is None or not estimate.low:
        return math.inf
    return math.sqrt(estimate.high / estimate.low) - 1
