"""Tells what a run of so many sets can tell, by drawing its sets from those of an A/A run.

`fourways harness noise RUN=…`: RUN is a run of PROFILE=aa-sets, in which methods stand beside themselves. Their true
ratio is 1, and the two arms are as far apart in time as any two cells of a run.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram
from rich.table import Table

from bench.errors import UsageError
from bench.results.durable_files import explain_os_errors, replace_file
from bench.results.measures import label_column
from bench.results.set_tables import FROM_ALL_SETS, SetStatistics
from bench.results.store import RunFolder
from bench.stats.intervals import Estimate
from bench.stats.sets import SetTable, estimate_ratio, half_width, measure_scatter, measure_within

SETS = (4, 6, 8, 12)
MEASURES = ("finish_p50_us", "finish_p99_us", "cpu_us_per_order_services", "cpu_us_per_order_driver")
RUNS = 300
"""Drawn for each number of sets."""
PAIR_S = 3.0
"""The seconds of windows for which the noise within a set is told."""
NOISE_COLUMNS = ("measure", "method", "sets", "runs", "held", "half_width", "pair_noise", "pair_noise_within")

_COLUMNS_FROM_ALL = ("round", "slot", "cell", "planned", "accepted", "finished", "valid")
"""What is read of trials for a measure that is told from all sets."""

Arms = tuple[str, str]
"""The two cells of a method, a and b."""


def measure_noise(run: RunFolder, runs: int = RUNS) -> pd.DataFrame:
    """Return a row for each measure, method and number of sets, from ``runs`` seeded draws of sets without replacement.

    ``held`` is the share of 95 % intervals that hold 1, and ``half_width`` how far they reach either way, the median:
    0.05 is 5 %. ``pair_noise`` is the standard deviation of the logarithm of one arm's number over the other's, from
    set to set; ``pair_noise_within`` the part that is within sets, for PAIR_S seconds of windows, empty where slices do
    not have the measure. The intervals are those of a run in sets without a bank: the bank may be of these very sets. A
    measure that the run does not tell has no row. Raises UsageError for a run without arms or with too few sets,
    ResultsError.
    """
    kept: dict[str, list[tuple[str, str, HdrHistogram]]] = {}

    def read_histograms(series: str) -> list[tuple[str, str, HdrHistogram]]:
        """Each once, since every draw takes them."""
        if series not in kept:
            kept[series] = list(run.histograms(series))
        return kept[series]

    whole = SetStatistics(run.trials(), run.slices(), read_histograms, {})
    methods = dict.fromkeys(cell.partition("@")[0] for cell in whole.cells)
    both = {name: (f"{name}@a", f"{name}@b") for name in methods}
    arms = {name: pair for name, pair in both.items() if set(pair) <= set(whole.cells)}
    if not arms or len(whole.sets) <= max(SETS):
        raise UsageError(
            f"{run.path} has {len(whole.sets)} sets with {len(arms)} methods beside themselves, and the noise takes "
            f"more than {max(SETS)} with one at the least; give a run of PROFILE=aa-sets",
            code="no-arms",
        )
    draw = random.Random(1)
    draws = {sets: [draw.sample(range(len(whole.sets)), sets) for _ in range(runs)] for sets in SETS}
    slice_s = float(run.manifest.get("profile", {}).get("slice_s") or math.nan)
    rows: list[tuple[object, ...]] = []
    for measure in MEASURES:
        table = whole.table(measure)
        found = {name: _measure_pair_noise(table, *_places(whole, pair), slice_s) for name, pair in arms.items()}
        noises = {name: noise for name, noise in found.items() if noise is not None}
        tell = _tell_from_all if measure in FROM_ALL_SETS else _tell_from_table
        for sets, drawn in draws.items():
            ratios = [tell(whole, measure, one, [arms[name] for name in noises]) for one in drawn]
            for (name, noise), of_pair in zip(noises.items(), zip(*ratios, strict=True), strict=True):
                width = median(map(half_width, of_pair))
                rows.append((measure, name, sets, runs, _count_held(of_pair) / runs, width, *noise))
    return pd.DataFrame(rows, columns=list(NOISE_COLUMNS))


def _tell_from_table(whole: SetStatistics, measure: str, drawn: Sequence[int], pairs: Sequence[Arms]) -> list[Estimate]:
    table = whole.table(measure)
    part = SetTable(table.values[:, drawn], table.slices[:, drawn])
    scatter = measure_scatter(part)
    return [estimate_ratio(part, scatter, *_places(whole, pair)) for pair in pairs]


def _tell_from_all(whole: SetStatistics, measure: str, drawn: Sequence[int], pairs: Sequence[Arms]) -> list[Estimate]:
    """p99 is told from the orders of all sets that were drawn, so the statistics are made anew of them."""
    trials = whole.trials.loc[whole.trials["round"].isin([whole.sets[at] for at in drawn]), list(_COLUMNS_FROM_ALL)]
    part = SetStatistics(trials, whole.slices.iloc[:0], whole.read_histograms, {})
    return [part.ratio(measure, b, a) for a, b in pairs]


def _places(whole: SetStatistics, arms: Arms) -> tuple[int, int]:
    """Of b and of a."""
    a, b = map(whole.cells.index, arms)
    return b, a


def _measure_pair_noise(table: SetTable, b: int, a: int, slice_s: float) -> tuple[float, float] | None:
    """From set to set, and within sets; None where a set does not tell the measure."""
    with np.errstate(invalid="ignore"):  # of what is censored
        logs = table.values[b] - table.values[a]
    if not np.isfinite(logs).all():
        return None
    within = measure_within(table.slices[b], table.slices[a]) * table.slices.shape[2] * slice_s / PAIR_S
    return float(logs.std(ddof=1)), math.sqrt(within)


def _count_held(ratios: Sequence[Estimate]) -> int:
    return sum(one.low is not None and one.high is not None and one.low <= 1 <= one.high for one in ratios)


def write_noise(folder: Path, found: pd.DataFrame) -> Path:
    """Write noise.csv beside the run and return its path. Raises ResultsError."""
    path = folder / "noise.csv"
    with explain_os_errors(path):
        replace_file(path, found.to_csv(index=False, float_format="%.4g"))
    return path


def noise_table(found: pd.DataFrame) -> Table:
    """Returns a row for each measure and method, 80 columns wide: the noise, and the half width by number of sets."""
    title = (
        "A/A, in %: how far an interval of 95 % reaches either way, by number of sets,\nand in brackets how many hold 1"
    )
    table = Table(title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0), box=None)
    table.add_column("measure", no_wrap=True)
    for heading in ("pair\nnoise", "within\nsets", *(f"{sets} sets" for sets in SETS)):
        table.add_column(heading, justify="right", no_wrap=True)
    for measure, of_measure in found.groupby("measure", sort=False):
        table.add_row(label_column(str(measure)).heading, style="bold")
        for method, rows in of_measure.groupby("method", sort=False):
            noise = [float(rows[name].iloc[0]) for name in ("pair_noise", "pair_noise_within")]
            shown = ["" if math.isnan(value) else f"{100 * value:.1f}" for value in noise]
            widths, held = (map(float, rows[name]) for name in ("half_width", "held"))
            told = [f"{100 * width:.1f} ({100 * share:.0f})" for width, share in zip(widths, held, strict=True)]
            table.add_row(f" {method}", *shown, *told)
    return table
