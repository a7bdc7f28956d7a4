"""Tests the ratios of slices that were played in turns."""

import pandas as pd
import pytest

from bench.calibration.turns.play import COLUMNS
from bench.calibration.turns.table import compute_ratios
from bench.paths import REFERENCE, ROOT
from bench.report.formatting import format_estimate

UNTOLD_ARMS = ("minimal client in real time", "minimal client with a deadline")


def slices(**p50_us: list[float]) -> pd.DataFrame:
    """Slices of a comparison whose first arm is the base; services take a tenth of the latency."""
    base = next(iter(p50_us))
    rows = [
        ("c", number, arm, base, 100, value, value / 10, None, 300.0)
        for arm, values in p50_us.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_each_arm_is_paired_with_the_base_slice_by_slice() -> None:
    # The machine's speed halves from slice to slice; the ratio does not.
    speeds = [1000.0 * 2**number for number in range(8)]
    found = {row.measure: row for row in compute_ratios(slices(before=speeds, after=[0.8 * speed for speed in speeds]))}
    assert found["p50_us"].ratio.value == pytest.approx(0.8)
    assert (found["p50_us"].ratio.low, found["p50_us"].ratio.high) == pytest.approx((0.8, 0.8))
    assert found["services_cpu_us"].ratio.value == pytest.approx(0.8)
    assert found["driver_cpu_us"].ratio.value == pytest.approx(1.0)
    assert (found["p50_us"].arm, found["p50_us"].base) == ("after", "before")


def test_a_measure_that_no_arm_has_is_left_out() -> None:
    assert "broker_cpu_us" not in {row.measure for row in compute_ratios(slices(a=[1.0, 2.0], b=[1.0, 2.0]))}


def test_a_slice_that_one_arm_lacks_is_in_no_pair() -> None:
    rows = slices(a=[100.0] * 7, b=[200.0] * 7)
    rows = rows[~((rows["arm"] == "b") & (rows["slice"] == 3))]
    assert next(compute_ratios(rows)).ratio.n == 6


@pytest.mark.reference
@pytest.mark.parametrize(
    ("page", "comparisons"),
    [
        ("findings.md", ["REST route", "Kafka commits", "RabbitMQ release"]),
        ("method.md", ["gRPC client", "REST client"]),
    ],
)
def test_the_pages_tell_the_ratios_of_the_kept_slices(page: str, comparisons: list[str]) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    ratios = compute_ratios(pd.read_csv(REFERENCE / "turns" / "slices.csv"))
    told = [row for row in ratios if row.comparison in comparisons and row.arm not in UNTOLD_ARMS]
    assert {row.comparison for row in told} == set(comparisons)
    measures = ("p50_us", "driver_cpu_us") if page == "method.md" else ("p50_us", "services_cpu_us", "broker_cpu_us")
    missing = [row for row in told if row.measure in measures and format_estimate(row.ratio) not in text]
    assert missing == []
