"""Tests the response by time since a slice's first order, on orders whose slowness is known."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.calibration.lead_in import EDGES_MS, LeadInRow, lead_in_table, measure_lead_in
from bench.errors import ResultsError
from bench.load.order_log import open_order_log
from bench.results.rows import trial_name
from bench.results.store import RunFolder
from tests.unit.builders import build_run, build_slice, build_trial

MS = 1_000_000
SLICES, SLICE_MS, PER_MS = 12, 500, 0.3

Respond = Callable[[float], float]
"""How many milliseconds an order takes, by the milliseconds since the first one."""


def slow_at_first(since_ms: float) -> float:
    return 15.0 if since_ms < 50 else 10.0


def build_raw_run(
    root: Path, respond: Respond, *, sets: int = 4, in_lead_in: int = 0, left: Callable[[float], bool] = lambda _: False
) -> RunFolder:
    """A run in sets of one cell, with raw orders; ``left`` are unfinished."""
    manifest = {"plan": "sets", "profile": {"rounds": sets, "slice_s": 0.5}, "skipped": {}}
    run = RunFolder.create(root, "made-up", manifest)
    for set_ in range(1, sets + 1):
        draw, number = random.Random(set_), 0
        speed = math.exp(draw.gauss(0, 0.2))
        rows = []
        with open_order_log(run.path / "raw" / f"{trial_name(set_, 1, 'rest')}.csv") as write:
            for slice_ in range(1, SLICES + 1):
                begun_ns = (set_ * 100 + slice_) * 1_000 * MS
                first, at_ms, since_ms = number, draw.uniform(0, 5), 0.0
                while at_ms < SLICE_MS:
                    planned_ns = begun_ns + round(at_ms * MS)
                    ended_ns = planned_ns + round(respond(since_ms) * speed * draw.uniform(0.9, 1.1) * MS)
                    status = "unfinished" if left(since_ms) else "finished"
                    write(number, status, planned_ns, planned_ns, 0, 0 if status == "unfinished" else ended_ns)
                    number, step_ms = number + 1, draw.expovariate(PER_MS)
                    at_ms, since_ms = at_ms + step_ms, since_ms + step_ms
                places = {"slice": slice_, "first_number": first, "planned": number - first}
                rows.append(build_slice(round=set_, slot=1, lead_in_planned=in_lead_in, **places))
        run.add_slices(rows)
        run.add_trial(build_trial(round=set_), {})
    return run


def by_stretch(rows: list[LeadInRow]) -> dict[float, LeadInRow]:
    return {row.from_ms: row for row in rows}


def test_a_slow_first_twentieth_of_a_second_is_found_and_nothing_else(tmp_path: Path) -> None:
    found = by_stretch(measure_lead_in(build_raw_run(tmp_path, slow_at_first)))
    assert list(found) == list(EDGES_MS[:-1])
    for from_ms, row in found.items():
        truth, other = (1.5, 1.0) if from_ms < 50 else (1.0, 1.5)
        assert row.times_last == pytest.approx(truth, rel=0.05)
        assert row.low is not None and row.high is not None
        assert not row.low <= other <= row.high
        assert row.sets == 4


def test_every_slice_counts_from_its_own_first_order(tmp_path: Path) -> None:
    found = by_stretch(measure_lead_in(build_raw_run(tmp_path, lambda since_ms: 20.0 if since_ms == 0 else 10.0)))
    orders = found[0].orders
    assert orders >= 4 * SLICES
    assert found[0].times_last == pytest.approx(1 + 4 * SLICES / orders, rel=0.05)
    assert found[10].times_last == pytest.approx(1, rel=0.05)


def test_a_machine_that_is_slower_in_one_set_is_no_slow_beginning(tmp_path: Path) -> None:
    found = measure_lead_in(build_raw_run(tmp_path, lambda _: 10.0))
    assert all(row.times_last == pytest.approx(1, rel=0.05) for row in found)


def test_orders_without_an_end_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    run = build_raw_run(tmp_path, slow_at_first, left=lambda since_ms: 100 <= since_ms < 130)
    found = by_stretch(measure_lead_in(run))
    assert found[100].unfinished > 0
    assert found[100].times_last == pytest.approx(1, rel=0.05)
    assert found[200].unfinished == 0


def test_two_sets_have_a_ratio_without_an_interval(tmp_path: Path) -> None:
    found = measure_lead_in(build_raw_run(tmp_path, slow_at_first, sets=2))
    assert all(row.times_last is not None and row.low is None for row in found)


def test_the_table_has_a_row_for_each_stretch(tmp_path: Path) -> None:
    rows = measure_lead_in(build_raw_run(tmp_path, slow_at_first))
    assert lead_in_table(rows).row_count == len(EDGES_MS) - 1


def code_of(run: RunFolder) -> str:
    with pytest.raises(ResultsError) as refused:
        measure_lead_in(run)
    return refused.value.code


def test_a_run_that_cannot_tell_it_is_refused(tmp_path: Path) -> None:
    assert code_of(build_run(tmp_path / "rounds", 1)) == "no-sets"
    assert code_of(build_raw_run(tmp_path / "hidden", slow_at_first, sets=1, in_lead_in=15)) == "lead-in-hides"
    without = build_raw_run(tmp_path / "without", slow_at_first, sets=1)
    for path in (without.path / "raw").iterdir():
        path.unlink()
    assert code_of(without) == "no-raw-orders"
