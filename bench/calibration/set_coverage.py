"""Counts how often the intervals of runs in sets hold 1, by resampling the sets of an A/A run to runs.

    python -m bench.calibration.set_coverage RESULTS/RUN [RUNS]

Each resampled run has sets of the A/A run, drawn without replacement, and stops as `make bench` does. A line per
measure says how often the ratio of a method's two arms is held, and what the interval's half width is.
"""

import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.results.measures import columns_used_in
from bench.results.set_tables import FROM_ALL_SETS, SetStatistics
from bench.results.store import RunFolder
from bench.stats.sets import MIN_SETS, SetPrior, SetTable, estimate_ratio, half_width, measure_scatter
from bench.stats.variability import Proportion, clopper_pearson

RUNS, MOST_SETS, TELL = 500, 7, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCoverage:
    """How often the interval of a ratio that is 1 held it."""

    metric: str
    method: str
    held: Proportion
    """Its bounds take resampled runs for independent, which they are not: they share sets."""
    half_width: float
    """The median over resampled runs."""


def resample_coverage(
    table: SetTable,
    arms: Sequence[tuple[int, int]],
    runs: int = RUNS,
    tell: float = TELL,
    most_sets: int = MOST_SETS,
    prior: SetPrior | None = None,
) -> list[tuple[Proportion, float]]:
    """Returns for each pair of arms how often 1 was held, and the median half width.

    A run stops at the first number of sets, MIN_SETS or more, at which every pair's half width is ``tell`` or less.
    Raises ValueError when the table has fewer than ``most_sets``.
    """
    draw, sets = random.Random(1), range(table.values.shape[1])
    ratios = [_end_run(table, draw.sample(sets, most_sets), arms, tell, prior) for _ in range(runs)]
    found = []
    for of_pair in zip(*ratios, strict=True):
        held = sum(low <= 0 <= high for low, high in of_pair)
        reach = median((high - low) / 2 for low, high in of_pair)
        found.append((Proportion(held, runs, *clopper_pearson(held, runs)), math.expm1(reach)))
    return found


def _end_run(
    table: SetTable, drawn: Sequence[int], arms: Sequence[tuple[int, int]], tell: float, prior: SetPrior | None
) -> list[tuple[float, float]]:
    """The ends of the intervals, as logarithms; a pair without one is not held."""
    for count in range(MIN_SETS, len(drawn) + 1):
        part = SetTable(table.values[:, drawn[:count]], table.slices[:, drawn[:count]])
        scatter = measure_scatter(part, prior)
        ratios = [estimate_ratio(part, scatter, one, other) for one, other in arms]
        if max(map(half_width, ratios)) <= tell:
            break
    return [(math.log(ratio.low), math.log(ratio.high)) if ratio.low and ratio.high else (1.0, 1.0) for ratio in ratios]


def compute_run_coverage(statistics: SetStatistics, runs: int = RUNS) -> Iterator[ArmCoverage]:
    """Yields a measure's coverage by method, for each measure with ratios that sets tell one by one."""
    cells = statistics.cells
    methods = [cell.removesuffix("@a") for cell in cells if cell.endswith("@a") and f"{cell[:-1]}b" in cells]
    arms = [(cells.index(f"{method}@b"), cells.index(f"{method}@a")) for method in methods]
    for metric in columns_used_in("ratio"):
        if metric in FROM_ALL_SETS or not arms:
            continue
        for method, (held, reach) in zip(methods, resample_coverage(statistics.table(metric), arms, runs), strict=True):
            yield ArmCoverage(metric=metric, method=method, held=held, half_width=reach)


def main(arguments: Sequence[str]) -> None:
    """Prints the coverage of a run's measures."""
    run = RunFolder.open(Path(arguments[0]))
    # Whole trials in rounds, of older banks, are sets without slices.
    statistics = run.set_statistics() or SetStatistics(run.trials(), run.slices(), run.histograms, {})
    for one in compute_run_coverage(statistics, int(arguments[1]) if len(arguments) > 1 else RUNS):
        print(f"{one.method:8} {one.metric:28} held {one.held.share:6.1%} of {one.held.n}, ±{one.half_width:.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
