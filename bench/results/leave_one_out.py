"""Computes a percentile from the histograms of all sets of a cell together, and without each set in turn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from hdrh.histogram import HdrHistogram

from bench.results.histograms import empty_histogram
from bench.stats.quantiles import quantile_rank, samples_needed


@dataclass(frozen=True, slots=True)
class FromAllSets:
    """A percentile in microseconds. Infinite: the order at its rank failed or did not finish."""

    whole: float
    without: Sequence[float]
    """Without each set, in their order."""


def compute_from_all(
    histograms: Sequence[HdrHistogram], censored: Sequence[int], quantile: Fraction
) -> FromAllSets | None:
    """Return a quantile of all histograms together, ``censored`` orders of each being slower than all of it.

    It is the highest value that the histogram cannot tell from the sample at its rank. None for fewer than two sets,
    and when all of them have fewer samples together than the quantile takes.
    """
    if len(histograms) < 2:
        return None
    counts = [np.asarray(one.counts, dtype=np.int64) for one in histograms]
    whole, slower = np.sum(counts, axis=0), sum(censored)
    if int(whole.sum()) + slower < samples_needed(quantile):
        return None
    values = [_find_value(whole, slower, quantile)]
    values += [
        _find_value(whole - left, slower - open_, quantile) for left, open_ in zip(counts, censored, strict=True)
    ]
    return FromAllSets(values[0], values[1:])


def _find_value(counts: "np.typing.NDArray[np.int64]", censored: int, quantile: Fraction) -> float:
    n = int(counts.sum()) + censored
    if not n:
        return math.inf
    index = int(np.searchsorted(np.cumsum(counts), quantile_rank(quantile, n)))
    if index == len(counts):
        return math.inf
    scale = empty_histogram()
    return float(scale.get_highest_equivalent_value(scale.get_value_from_index(index)))
