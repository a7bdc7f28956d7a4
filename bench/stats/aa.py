"""Evaluates A/A runs, whose two arms are the same method, so that the true ratio is 1.

An interval of the ratio that does not contain 1 is wrong.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import pandas as pd

from bench.stats.paired import log_ratios, paired_ratio
from bench.stats.variability import SAME_SPEED_FACTOR, count_intervals_covering, pair_noise

PAIRS_PER_RUN = 6
"""Of a run: the fewest that have an interval of 95 %."""
AA_COLUMNS = (
    *("method", "metric", "pairs", "ratio", "low", "high", "pair_noise"),
    *("runs", "held", "held_low", "held_high", "half_width"),
)


def summarise_aa(trials: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row for each method and metric, from trials of cells ``METHOD@a`` and ``METHOD@b``.

    ``ratio``, ``low`` and ``high`` are b to a over all rounds with both, which are ``pairs``; ``pair_noise`` is the
    sample standard deviation of their logarithms. Every six successive pairs are a run: ``held`` of the ``runs`` have
    an interval of 95 % that contains 1, and ``held_low`` to ``held_high`` is the Clopper-Pearson interval of that
    share. ``half_width`` is how far such an interval reaches either way, the median over runs: 0.2 is 20 %, and six
    rounds rarely tell a smaller difference from none. Rounds with an invalid trial are left out, as are pairs that have
    no ratio.
    """
    valid = trials[trials["valid"]]
    rows = []
    for method in dict.fromkeys(cell.partition("@")[0] for cell in valid["cell"]):
        a, b = (valid[valid["cell"] == f"{method}@{arm}"].set_index("round") for arm in "ab")
        both = b.add_suffix("_b").join(a.add_suffix("_a"), how="inner").sort_index()
        for metric in metrics:
            if metric in trials and not (trials[metric] < 0).any():  # what may be negative has no ratio
                pairs = both[[f"{metric}_b", f"{metric}_a"]].dropna()
                rows += _build_rows(method, metric, list(pairs.itertuples(index=False, name=None)))
    return pd.DataFrame(rows, columns=list(AA_COLUMNS))


def summarise_aa_by_speed(trials: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return ``summarise_aa`` by whether the machine's speed changed, as a column ``of``, to show if that matters.

    "all" are all pairs, also those with an invalid trial; "alike" of these the ones whose two trials ran at the same
    speed of the machine, by the speed probe, and "changed" the others.
    """
    method = trials["cell"].str.partition("@")[0]
    of_pair = trials.groupby(["round", method])["cpu_slowdown"]
    changed = of_pair.transform("max") > SAME_SPEED_FACTOR * of_pair.transform("min")
    parts = {"all": trials, "alike": trials[~changed], "changed": trials[changed]}
    found = [(name, summarise_aa(rows.assign(valid=True), metrics)) for name, rows in parts.items()]
    return pd.concat([rows.assign(of=name) for name, rows in found])[["of", *AA_COLUMNS]]


def _build_rows(method: str, metric: str, pairs: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Empty where no pair has a ratio, as with a metric that is always zero."""
    pairs = [pair for pair in pairs if not math.isnan(log_ratios(pair[:1], pair[1:])[0])]
    if not pairs:
        return []
    b, a = ([pair[arm] for pair in pairs] for arm in (0, 1))
    whole = paired_ratio(b, a)
    last = range(PAIRS_PER_RUN, len(pairs) + 1, PAIRS_PER_RUN)
    runs = [paired_ratio(b[end - PAIRS_PER_RUN : end], a[end - PAIRS_PER_RUN : end]) for end in last]
    intervals = [(run.low, run.high) for run in runs if run.low is not None and run.high is not None]
    held = count_intervals_covering(intervals) if intervals else None
    return [
        {
            "method": method,
            "metric": metric,
            "pairs": len(pairs),
            "ratio": whole.value,
            "low": whole.low,
            "high": whole.high,
            "pair_noise": pair_noise(log_ratios(b, a)),
            "runs": len(intervals),
            "held": held.held if held else 0,
            "held_low": held.low if held else None,
            "held_high": held.high if held else None,
            "half_width": median(_half_width(*ends) for ends in intervals) if intervals else None,
        }
    ]


def _half_width(low: float, high: float) -> float:
    """Of an interval of ratios, either way from its geometric middle; infinite when an end is censored."""
    return math.sqrt(high / low) - 1 if low and not math.isinf(high) else math.inf
