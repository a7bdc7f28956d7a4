"""Tests the tables and estimates of a run in sets, from its files."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench.results.set_tables import SetStatistics
from bench.results.store import RunFolder
from bench.stats.sets import estimate_ratio, half_width, measure_scatter
from tests.unit.builders import build_run, build_set_run, build_trial


def statistics_of(run: RunFolder) -> SetStatistics:
    found = run.set_statistics()
    assert found is not None
    return found


def test_a_table_has_the_logarithms_of_each_cell_and_set_and_their_slices(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4)
    found = statistics_of(run)
    table = found.table("finish_p50_us")
    trials, slices = run.trials(), run.slices()
    of = trials[(trials["cell"] == "grpc") & (trials["round"] == 3)]
    assert table.values.shape == (5, 4)
    assert table.slices.shape == (5, 4, 6)
    assert table.values[found.cells.index("grpc"), 2] == pytest.approx(math.log(of["finish_p50_us"].iloc[0]))
    one = slices[(slices["cell"] == "grpc") & (slices["round"] == 3) & (slices["slice"] == 5)]
    assert table.slices[found.cells.index("grpc"), 2, 4] == pytest.approx(math.log(one["finish_p50_us"].iloc[0]))


def test_a_measure_without_slices_of_its_own_has_none(tmp_path: Path) -> None:
    found = statistics_of(build_set_run(tmp_path, sets=4))
    assert found.table("finish_p90_us").slices.shape == (5, 4, 0)


def test_a_ratio_is_that_of_the_statistics(tmp_path: Path) -> None:
    found = statistics_of(build_set_run(tmp_path, sets=4))
    table = found.table("finish_p50_us")
    assert found.ratio("finish_p50_us", "grpc", "rest") == estimate_ratio(
        table, measure_scatter(table), found.cells.index("grpc"), found.cells.index("rest")
    )


def test_an_invalid_trial_is_missing_and_its_slices_with_it(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4)
    run.add_trial(build_trial(round=5, slot=1, cell="rest", valid=False), {})
    run.add_trial(build_trial(round=5, slot=2, cell="grpc", transport="grpc", client="grpcio", codec="protobuf"), {})
    found = statistics_of(run)
    table = found.table("finish_p50_us")
    assert np.isnan(table.values[found.cells.index("rest"), 4])
    assert not np.isnan(table.values[found.cells.index("grpc"), 4])
    assert found.ratio("finish_p50_us", "grpc", "rest").n == 4


def test_p99_is_told_from_all_sets_together_where_a_set_has_too_few_orders(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4, orders=450)
    assert run.trials()["finish_p99_us"].isna().all()
    summary = run.summary()
    for cell in summary["cells"]:
        p99 = cell["metrics"]["finish_p99_us"]
        assert p99["low"] < p99["estimate"] < p99["high"]
        assert p99["n"] == 4
    whole = {cell["cell"]: cell["metrics"]["finish_p99_us"]["estimate"] for cell in summary["cells"]}
    for ratio in summary["ratios"]:
        p99 = ratio["metrics"]["finish_p99_us"]
        assert p99["estimate"] == pytest.approx(whole[ratio["cell"]] / whole["rest"])
        assert p99["low"] < p99["estimate"] < p99["high"]


def test_p99_of_too_few_orders_in_all_is_empty(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4, orders=100)
    assert run.summary()["cells"][0]["metrics"]["finish_p99_us"]["estimate"] is None
    ratio = run.summary()["ratios"][0]["metrics"]["finish_p99_us"]
    assert (ratio["estimate"], ratio["n"]) == (None, 0)
    assert "too few orders" in ratio["reason"]


def test_a_summary_in_sets_has_intervals_of_four_sets_and_says_whose_they_are(tmp_path: Path) -> None:
    summary = build_set_run(tmp_path, sets=4).summary()
    for ratio in summary["ratios"]:
        p50 = ratio["metrics"]["finish_p50_us"]
        assert p50["low"] < p50["estimate"] < p50["high"]
        assert (p50["n"], p50["coverage"]) == (4, 0.95)
    assert "Student's t" in summary["intervals"]
    assert "no bank" in summary["intervals"]


def test_whole_trials_keep_paired_rounds(tmp_path: Path) -> None:
    run = build_run(tmp_path, plan="rounds")
    assert run.set_statistics() is None
    assert "intervals" not in run.summary()
    assert run.summary()["ratios"][0]["metrics"]["finish_p50_us"]["coverage"] == pytest.approx(0.969, abs=0.001)


def test_a_cell_noisier_within_sets_has_the_wider_interval(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4)
    found = statistics_of(run)
    louder = found.slices.copy()
    loud = louder["cell"] == "events"
    louder.loc[loud, "finish_p50_us"] *= np.where(louder.loc[loud, "slice"] % 2, 1.5, 1 / 1.5)
    other = SetStatistics(found.trials, louder, found.read_histograms, {})
    assert half_width(other.ratio("finish_p50_us", "events", "rest")) > half_width(
        found.ratio("finish_p50_us", "events", "rest")
    )
