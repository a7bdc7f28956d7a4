"""Tests that a comparison marks what changed in a method, and nothing that the machine did to all of them."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.paths import REFERENCE
from bench.results.compare import RunComparison, compare_runs
from bench.results.figures import Mark, RunMeasures, build_figures, choose_reference, count_claims
from bench.results.histograms import Percentiles
from bench.results.store import RunFolder
from bench.stats.summary import YARDSTICK
from tests.unit.builders import build_slice, build_trial

CPU, P50 = "cpu_us_per_order_services", "finish_p50_us"
MIDDLES_US = {YARDSTICK: 2000.0, "rest": 5000.0, "grpc": 5500.0, "broker": 9000.0}
Changes = Mapping[tuple[str, str], float]


def marks(comparison: RunComparison, mark: Mark = Mark.STAR) -> set[tuple[str, str]]:
    return {
        (cell.cell, metric) for cell in comparison.cells for metric, one in cell.metrics.items() if one.mark is mark
    }


def play(
    root: Path, name: str, *, sets: int = 8, drift: float = 1.0, changes: Changes | None = None, cells: str = ""
) -> RunFolder:
    """A run in sets of every cell: each set has a mood that all share, each cell luck of 2 %, each slice of 5 %."""
    manifest = {"plan": "sets", "profile": {"durability": "fast", "slice_s": 0.5, "slices": 6}}
    run, draw = RunFolder.create(root, name, manifest), random.Random(name)
    for set_ in range(1, sets + 1):
        mood = drift * draw.lognormvariate(0, 0.1)
        for slot, cell in enumerate(cells.split(",") if cells else MIDDLES_US, 1):
            named = {"round": set_, "slot": slot, "cell": cell}
            now = {metric: mood * MIDDLES_US[cell] * (changes or {}).get((cell, metric), 1.0) for metric in (P50, CPU)}
            lucks = {metric: draw.lognormvariate(0, 0.02) for metric in now}
            slices = [
                {metric: level * lucks[metric] * draw.lognormvariate(0, 0.05) for metric, level in now.items()}
                for _ in range(6)
            ]
            run.add_slices([build_slice(**named, slice=at, **numbers) for at, numbers in enumerate(slices, 1)])
            whole = pd.DataFrame(slices).median()
            took = Percentiles(p50_us=whole[P50])
            finish = {"finish": took, "accept": took, CPU: whole[CPU], "wire_bytes_per_order": 15000.0}
            run.add_trial(build_trial(**named, transport=cell, **finish), {})
    return run


def test_a_change_of_a_tenth_in_one_cell_is_found_below_a_drift_of_a_fifth(tmp_path: Path) -> None:
    a, b = play(tmp_path, "a"), play(tmp_path, "b", drift=1.2, changes={("grpc", P50): 1.1})
    found = compare_runs(a, b)
    assert marks(found) == {("grpc", P50)}
    beside = {cell.cell: cell.metrics[P50].beside for cell in found.cells}
    assert beside[YARDSTICK] is None
    assert beside["grpc"] is not None
    assert beside["grpc"].value == pytest.approx(1.1, abs=0.04)
    assert found.reference is not None
    assert (found.reference.cell, found.reference.is_yardstick) == (YARDSTICK, True)
    assert set(found.reference.moved) == {P50, CPU}
    assert "the machine, not the method" in found.headline


def test_a_drift_alone_is_the_machine_and_has_no_star(tmp_path: Path) -> None:
    found = compare_runs(play(tmp_path, "a"), play(tmp_path, "b", drift=1.2))
    assert marks(found) == set()
    assert found.headline.startswith("Everything moved together: the machine, not the method")
    assert found.reference is not None
    assert found.reference.moved[P50].value == pytest.approx(1.2, abs=0.1)


def test_a_yardstick_that_moves_by_itself_is_said_to(tmp_path: Path) -> None:
    changes = {(YARDSTICK, metric): 1.5 for metric in (P50, CPU)}
    found = compare_runs(play(tmp_path, "a"), play(tmp_path, "b", changes=changes))
    assert found.reference is not None
    assert set(found.reference.alone) == {P50, CPU}
    assert "together" not in found.headline
    assert marks(found) == {(cell, metric) for cell in MIDDLES_US if cell != YARDSTICK for metric in (P50, CPU)}


def test_runs_without_the_yardstick_are_compared_beside_rest_and_say_so(tmp_path: Path) -> None:
    a, b = play(tmp_path, "a", cells="broker,rest,grpc"), play(tmp_path, "b")
    found = compare_runs(a, b)
    assert found.reference is not None
    assert (found.reference.cell, found.reference.is_yardstick) == ("rest", False)
    assert YARDSTICK in found.headline
    assert set(found.left_out) == {YARDSTICK}


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        ({"rest": "rest", YARDSTICK: YARDSTICK}, YARDSTICK),
        ({"broker": "broker", "rest@a": "rest"}, "rest@a"),
        ({"broker": "broker", "events": "events"}, "broker"),
        ({"rest": "rest"}, None),
    ],
)
def test_the_reference_is_the_yardstick_else_rest_else_the_first(cells: dict[str, str], chosen: str | None) -> None:
    assert choose_reference(cells) == chosen


def test_one_cell_alone_holds_the_hour_and_has_no_star(tmp_path: Path) -> None:
    found = compare_runs(play(tmp_path, "a", cells="rest"), play(tmp_path, "b", drift=3, cells="rest"))
    assert found.reference is None
    assert found.claims.figures == 0
    assert marks(found) == set()
    assert "the hour" in found.headline
    ratio = found.cells[0].metrics[P50].change
    assert ratio.low is not None
    assert ratio.low > 2


def test_counts_are_absolute_and_differ_by_a_tenth(tmp_path: Path) -> None:
    def add(run: RunFolder, bytes_: float) -> RunFolder:
        for number in range(1, 7):
            for cell in ("rest", "grpc"):
                run.add_trial(build_trial(cell=cell, transport=cell, round=number, wire_bytes_per_order=bytes_), {})
        return run

    a, b, c = (RunFolder.create(tmp_path, name, {"profile": {"durability": "fast"}}) for name in "abc")
    found = compare_runs(add(a, 15_000), add(b, 20_000))
    assert marks(found, Mark.DIFFERS) == {("rest", "wire_bytes_per_order"), ("grpc", "wire_bytes_per_order")}
    assert all(cell.metrics["wire_bytes_per_order"].beside is None for cell in found.cells)
    assert marks(compare_runs(a, add(c, 15_100)), Mark.DIFFERS) == set()


def draw_trials(seed: int, cells: int = 6, rounds: int = 8) -> RunMeasures:
    """Whole trials of cells that are alike, in rounds of which each has its own speed."""
    dice = np.random.default_rng(seed)
    speeds, lucks = dice.lognormal(0, 0.2, (rounds, 1)), dice.lognormal(0, 0.05, (rounds, cells))
    rows = [
        {"cell": f"cell{cell}", "round": number, "valid": True, P50: took, CPU: took / 2}
        for (number, cell), took in np.ndenumerate(speeds * lucks)
    ]
    return RunMeasures(pd.DataFrame(rows), None)


def test_chance_brings_as_many_differences_as_are_said_and_hardly_a_star() -> None:
    cells = [f"cell{number}" for number in range(6)]
    found = [build_figures(draw_trials(n), draw_trials(-n % 1000), cells, "cell0") for n in range(1, 41)]
    claims = [count_claims(one) for one in found]
    assert {one.figures for one in claims} == {10}
    assert claims[0].by_chance == pytest.approx(0.5)
    apart = sum(one.stars + one.perhaps for one in claims)
    assert 0.5 < apart / sum(one.by_chance for one in claims) < 1.6
    assert sum(one.stars > 0 for one in claims) <= 0.1 * len(claims)


def test_a_cell_that_follows_the_machine_by_half_has_no_star() -> None:
    """As the CPU of a broker does."""

    def draw(seed: int, drift: float, follows: float) -> RunMeasures:
        dice = np.random.default_rng(seed)
        moods = drift + dice.normal(0, 0.1, 10)
        logs = {"rest": moods, "grpc": moods, "broker": follows * moods}
        rows = [
            {"cell": cell, "round": number, "valid": True, CPU: 3000 * np.exp(mood + dice.normal(0, 0.01))}
            for cell, of in logs.items()
            for number, mood in enumerate(of)
        ]
        return RunMeasures(pd.DataFrame(rows), None)

    found = build_figures(draw(1, 0.0, 0.5), draw(2, 0.2, 0.5), ["rest", "grpc", "broker"], "rest")
    beside = found["broker"][CPU].beside
    assert beside is not None
    assert (beside.high or 1) < 0.97
    assert found["broker"][CPU].mark is Mark.NONE


def split_run(root: Path, name: str, last: int, change: Changes | None = None) -> Iterator[RunFolder]:
    """A kept run as two: up to this round and after it; the second one with ``change``."""
    for half in "ab":
        folder = root / half
        folder.mkdir()
        manifest = json.loads((REFERENCE / name / "manifest.json").read_text("utf-8"))
        (folder / "manifest.json").write_text(json.dumps(manifest | {"run_id": half}), "utf-8")
        for file in ("trials.csv", "slices.csv"):
            if not (REFERENCE / name / file).exists():
                continue
            rows = pd.read_csv(REFERENCE / name / file, dtype=str, keep_default_na=False)
            rows = rows[(rows["round"].astype(int) > last) == (half == "b")]
            for (cell, metric), factor in (change or {}).items() if half == "b" else ():
                there = rows["cell"].eq(cell) & rows[metric].ne("")
                rows.loc[there, metric] = (rows.loc[there, metric].astype(float) * factor).map("{:.6g}".format)
            rows.to_csv(folder / file, index=False)
        if (histograms := REFERENCE / name / "histograms.hlog").exists():
            (folder / histograms.name).symlink_to(histograms)
        yield RunFolder.open(folder)


@pytest.mark.reference
def test_halves_of_a_kept_run_an_hour_apart_have_drifted_and_have_no_star(tmp_path: Path) -> None:
    found = compare_runs(*split_run(tmp_path, "aa", 110))
    assert marks(found) == set()
    assert found.claims.figures >= 12
    assert found.reference is not None
    assert (found.reference.moved[P50].low or 0) > 1.03
    assert found.reference.alone == ()
    assert "the machine, not the method" in found.headline


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "last", "metric", "factor"),
    [
        ("aa", 110, P50, 1.2),
        ("aa-sets", 30, P50, 1.0),
        ("aa-sets", 30, P50, 1.1),
        ("aa-sets", 30, "cpu_us_per_order_broker", 1.1),
    ],
)
def test_a_change_in_half_a_kept_run_is_found_and_nothing_else(
    tmp_path: Path, name: str, last: int, metric: str, factor: float
) -> None:
    found = compare_runs(*split_run(tmp_path, name, last, {("broker@b", metric): factor}))
    assert marks(found) == ({("broker@b", metric)} if factor > 1 else set())
    assert found.claims.figures >= 12
