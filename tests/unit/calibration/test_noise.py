"""Tests what so many sets of an A/A run tell, and that the page on the noise has the figures of the kept one."""

import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.calibration.noise import SETS, measure_noise, write_noise
from bench.cli.app import main
from bench.paths import REFERENCE, ROOT
from bench.results.store import RunFolder
from tests.conftest import refuses
from tests.unit.builders import CELLS, build_set_run

ARMS = {f"{name}@{arm}": CELLS["rest"] for name in ("rest", "grpc") for arm in "ab"}


def test_more_sets_tell_more_and_alike_arms_are_held(tmp_path: Path) -> None:
    found = measure_noise(build_set_run(tmp_path, sets=24, cells=ARMS), runs=60)
    told = found[found["measure"] == "finish_p50_us"]
    assert set(told["method"]) == {"rest", "grpc"}
    for _, rows in told.groupby("method"):
        assert tuple(rows["sets"]) == SETS
        widths = list(rows["half_width"])
        assert widths == sorted(widths, reverse=True)
        assert widths[0] < 0.1
        assert (rows["held"] > 0.8).all()


def test_the_noise_is_that_of_a_pair_and_its_part_within_sets_that_of_three_seconds(tmp_path: Path) -> None:
    found = measure_noise(build_set_run(tmp_path, sets=40, cells=ARMS, between=0.05, within=0.05), runs=1)
    for row in found[found["measure"] == "finish_p50_us"].itertuples():
        # Each arm has luck of 5 % between sets, and six slices of half a second with 5 % each.
        assert row.pair_noise_within == pytest.approx(0.05 * math.sqrt(2 / 6), rel=0.15)
        assert row.pair_noise == pytest.approx(math.sqrt(2 * 0.05**2 + 2 * 0.05**2 / 6), rel=0.3)


def test_p99_is_told_from_the_orders_of_all_sets_that_were_drawn(tmp_path: Path) -> None:
    found = measure_noise(build_set_run(tmp_path, sets=16, cells=ARMS), runs=3)
    told = found[found["measure"] == "finish_p99_us"]
    assert len(told) == 2 * len(SETS)
    assert told["pair_noise_within"].isna().all()
    assert (told["half_width"] > 0).all()


def test_draws_are_the_same_each_time(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=14, cells=ARMS)
    first, again = (measure_noise(run, runs=5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(("cells", "sets"), [(CELLS, 14), (ARMS, 12)])
def test_a_run_without_arms_or_with_too_few_sets_is_refused(
    tmp_path: Path, cells: dict[str, object], sets: int
) -> None:
    with refuses("no-arms", "aa-sets"):
        measure_noise(build_set_run(tmp_path, sets=sets, cells=cells), runs=1)


def test_the_command_writes_the_table_beside_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_noise, "__defaults__", (2,))
    run = build_set_run(tmp_path, sets=13, cells=ARMS)
    with pytest.raises(SystemExit) as ended:
        main(("harness", "noise", f"RUN={run.path}"))
    assert not ended.value.code
    assert "finish p50" in capsys.readouterr().out
    rows = csv.DictReader((run.path / "noise.csv").read_text("utf-8").splitlines())
    assert {row["sets"] for row in rows} == {str(one) for one in SETS}


KEPT = REFERENCE / "aa-sets"
PAGE = ROOT / "docs" / "noise.md"


@pytest.mark.reference
@pytest.mark.slow
def test_the_kept_noise_is_that_of_the_kept_run(tmp_path: Path) -> None:
    path = write_noise(tmp_path, measure_noise(RunFolder.open(KEPT)))
    now, kept = (pd.read_csv(io.StringIO(one.read_text("utf-8"))) for one in (path, KEPT / "noise.csv"))
    pd.testing.assert_frame_equal(now, kept, rtol=1e-3)


@pytest.mark.reference
def test_the_intervals_of_a_ratio_that_is_one_hold_it_as_often_as_they_promise() -> None:
    kept = pd.read_csv(KEPT / "noise.csv")
    assert kept["held"].between(0.93, 1).all(), kept[kept["held"] < 0.93]


@pytest.mark.reference
def test_the_page_has_the_kept_figures() -> None:
    kept = pd.read_csv(KEPT / "noise.csv")
    told = re.findall(r"^\| (\w+) \| `(\w+)` \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    names = {"REST": "rest", "RabbitMQ": "broker", "gRPC": "grpc"}
    assert {(names[method], measure) for method, measure, _ in told} == set(
        zip(kept["method"], kept["measure"], strict=True)
    )
    for method, measure, cells in told:
        rows = kept[(kept["method"] == names[method]) & (kept["measure"] == measure)]
        expected = [
            f"{rows['pair_noise'].iloc[0]:.1%}",
            *(f"{row.half_width:.1%} ({row.held:.0%})" for row in rows.itertuples()),
        ]
        assert [cell.strip() for cell in cells.split("|")] == [one.replace("%", " %") for one in expected]


@pytest.mark.reference
def test_the_page_says_how_far_each_method_followed_the_machine() -> None:
    trials = RunFolder.open(KEPT).trials().query("valid")
    logs = np.log(trials.pivot(index="round", columns="cell", values="cpu_us_per_order_services"))
    rose = logs[logs.index > 30].mean() - logs[logs.index <= 30].mean()
    for method, name in (("rest", "REST"), ("grpc", "gRPC"), ("broker", "RabbitMQ")):
        share = np.expm1((rose[f"{method}@a"] + rose[f"{method}@b"]) / 2)
        assert f"{100 * share:.1f} % over {name}" in PAGE.read_text("utf-8")
