"""Tests the resampling of an A/A run in sets to runs."""

from pathlib import Path

import numpy as np
import pytest

from bench.calibration.set_coverage import compute_run_coverage, main, resample_coverage
from bench.stats.sets import SetTable
from tests.unit.builders import CELLS, build_set_run

ARMS = {f"{name}@{arm}": CELLS[name] for name in ("rest", "broker") for arm in "ab"}


def draw_table(bias: float = 0.0) -> SetTable:
    dice = np.random.default_rng(3)
    slices = dice.normal(0, 0.02, (4, 60, 1)) + dice.normal(0, 0.06, (4, 60, 6)) + dice.normal(0, 0.2, (1, 60, 1))
    slices[1] += bias
    return SetTable(slices.mean(axis=2), slices)


@pytest.mark.slow
def test_equal_arms_are_held_and_a_bias_is_found() -> None:
    for held, reach in resample_coverage(draw_table(), [(1, 0), (3, 2)], runs=300):
        assert held.share >= 0.9
        assert reach < 0.06
    (biased, _), (other, _) = resample_coverage(draw_table(bias=0.15), [(1, 0), (3, 2)], runs=100)
    assert biased.share < 0.1
    assert other.share > 0.8


def test_a_run_has_a_line_for_each_measure_and_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_set_run(tmp_path, sets=8, cells=ARMS)
    statistics = run.set_statistics()
    assert statistics is not None
    found = list(compute_run_coverage(statistics, runs=5))
    assert {(one.method, one.metric) for one in found} >= {("rest", "finish_p50_us"), ("broker", "finish_p50_us")}
    main([str(run.path), "5"])
    assert "finish_p50_us" in capsys.readouterr().out


def test_fewer_sets_than_a_run_has_are_refused() -> None:
    table = draw_table()
    with pytest.raises(ValueError):
        resample_coverage(SetTable(table.values[:, :5], table.slices[:, :5]), [(1, 0)], runs=1)
