"""Prints the ratios of slices that were played in turns.

    python -m bench.calibration.turns.table results/reference/turns/slices.csv

Each arm is paired with the first arm of its comparison, slice by slice (bench/stats/paired.py).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.report.formatting import format_estimate
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

MEASURES = ("p50_us", "services_cpu_us", "broker_cpu_us", "driver_cpu_us")


@dataclass(frozen=True, slots=True)
class TurnsRatio:
    """The ratio of one arm to the first arm of its comparison, in one measure."""

    comparison: str
    arm: str
    base: str
    measure: str
    median: float
    base_median: float
    ratio: Estimate


def compute_ratios(slices: pd.DataFrame) -> Iterator[TurnsRatio]:
    """Yields a ratio for each comparison, arm and measure that both arms have. ``slices`` has play.COLUMNS."""
    for comparison, rows in slices.groupby("comparison", sort=False):
        base = str(rows["base"].iloc[0])
        for measure in MEASURES:
            table = rows.pivot(index="slice", columns="arm", values=measure)
            for arm in sorted(set(rows["arm"].astype(str)) - {base}):
                both = table[[arm, base]].dropna()
                if len(both):
                    ratio = paired_ratio(list(both[arm]), list(both[base]))
                    yield TurnsRatio(
                        str(comparison), arm, base, measure, both[arm].median(), both[base].median(), ratio
                    )


def main(file: Path) -> None:
    print(f"{'comparison':28} {'measure':16} {'median':>9} {'of base':>9}  ratio, 95 % interval")
    for row in compute_ratios(pd.read_csv(file)):
        print(
            f"{f'{row.comparison}: {row.arm} / {row.base}':28} {row.measure:16} {row.median:9,.0f} "
            f"{row.base_median:9,.0f}  {format_estimate(row.ratio)}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
