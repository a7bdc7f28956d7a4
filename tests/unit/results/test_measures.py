"""Tests that a measure is declared once: columns, merging, summary, comparison and docs follow from its entry."""

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from bench.load.merging import _MERGES, merge_reports, read_measure
from bench.load.protocol import TrialReport
from bench.report.terminal.compare import render_comparison
from bench.report.terminal.run import effects_table
from bench.results.compare import compare_runs
from bench.results.histograms import Percentiles
from bench.results.measures import MEASURES, PERCENTILES, MeasureSpec, columns_used_in, label_column, merged_measures
from bench.results.reference import render_measures
from bench.results.rows import trial_columns
from bench.results.store import RunFolder
from bench.stats.summary import CELL_COLUMNS
from tests.unit.builders import build_trial

NOT_MEASURES = {"trial", "worker", "workers", "error", "histograms", "extra"}
"""Fields of a report: whose it is, and where the measures without a field of their own stand."""


@pytest.fixture
def queue_depth(monkeypatch: pytest.MonkeyPatch) -> str:
    """A measure that no code knows but its entry."""
    spec = MeasureSpec(
        name="queue_depth",
        unit="orders",
        help="orders in the queue, at most",
        merge="max",
        better="lower",
        uses=("summary", "compare", "effect"),
    )
    monkeypatch.setitem(MEASURES, spec.name, spec)
    return spec.name


def test_a_measure_declared_once_is_in_trials_csv_summary_compare_and_docs(tmp_path: Path, queue_depth: str) -> None:
    runs = []
    for name, times in (("a", 1.0), ("b", 2.0)):
        run = RunFolder.create(tmp_path, name, {"profile": {"durability": "fast"}})
        for round_ in range(1, 7):
            run.add_trial(build_trial(round=round_, queue_depth=times * (10 + round_)), {})
        runs.append(RunFolder.open(run.path))
    assert list(runs[0].trials()[queue_depth]) == [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
    assert runs[0].summary()["cells"][0]["metrics"][queue_depth]["estimate"] == 13.5
    (cell,) = compare_runs(*runs).cells
    assert cell.metrics[queue_depth].change.value == pytest.approx(2.0)
    assert "| `queue_depth` | orders | lower | max | orders in the queue, at most |" in render_measures()


def printed(table: RenderableType) -> str:
    Console(width=80, color_system=None, file=(out := io.StringIO())).print(table, highlight=False)
    return out.getvalue()


def test_a_measure_declared_once_is_printed_where_runs_are_compared(tmp_path: Path, queue_depth: str) -> None:
    runs = []
    for name, times in (("a", 1.0), ("b", 2.0)):
        run = RunFolder.create(tmp_path, name, {"profile": {"durability": "fast"}})
        for round_ in range(1, 7):
            run.add_trial(build_trial(round=round_, queue_depth=times * (10 + round_)), {})
        runs.append(run)
    (row,) = (line for line in printed(render_comparison(compare_runs(*runs))).splitlines() if "queue" in line)
    assert row.split()[:6] == ["queue", "depth,", "orders", "13.5", "27.0", "2.00"]


def test_a_measure_declared_once_is_printed_with_what_the_factors_do(tmp_path: Path, queue_depth: str) -> None:
    run = RunFolder.create(tmp_path, "a", {"profile": {"durability": "fast", "designed": [{}]}})
    for round_ in range(1, 7):
        for slot, processes in enumerate((1, 2), 1):
            run.add_trial(
                build_trial(
                    round=round_,
                    slot=slot,
                    cell=f"rest@{processes}",
                    processes=processes,
                    queue_depth=3.0 * processes,
                ),
                {},
            )
    text = printed(effects_table(run.effects()))
    assert "queue" in text
    assert "2.00 x" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_label_has_the_unit_of_tables_once() -> None:
    assert label_column("finish_p99_us").with_unit == "finish p99, ms"
    assert label_column("finish_p99_us").scale == 1000
    assert label_column("wire_bytes_per_order").with_unit == "bytes on the wire"
    assert label_column("in_flight_mean").with_unit == "in flight mean, orders"


def test_a_measure_declared_once_is_merged_over_load_processes(queue_depth: str) -> None:
    reports = [TrialReport(trial="t", worker=worker, extra={queue_depth: 3.0 + worker}) for worker in (0, 1, 2)]
    reports.append(TrialReport(trial="t", worker=3))
    assert read_measure(merge_reports(reports), queue_depth) == 5.0


def test_a_mean_is_over_the_load_processes_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MeasureSpec(name="queue_s", unit="s", help="time in the queue, in the mean", merge="mean")
    monkeypatch.setitem(MEASURES, spec.name, spec)
    reports = [
        TrialReport(trial="t", worker=0, finished=100),
        TrialReport(trial="t", worker=1, finished=30, extra={spec.name: 1.0}),
        TrialReport(trial="t", worker=2, finished=10, extra={spec.name: 5.0}),
    ]
    assert read_measure(merge_reports(reports), spec.name) == 2.0
    assert read_measure(merge_reports(reports[:1] * 2), spec.name) is None


def test_every_measure_that_a_load_process_reports_says_how_it_is_merged() -> None:
    fields = set(TrialReport.__struct_fields__) - NOT_MEASURES
    merged = {spec.name: spec.merge for spec in merged_measures()}
    assert fields <= set(merged)
    assert {name for name, merge in merged.items() if merge != "histogram"} <= fields
    assert set(merged.values()) <= {*_MERGES, "histogram"}


def test_columns_have_one_name_each_and_percentiles_are_those_of_a_histogram() -> None:
    assert Percentiles.__struct_fields__ == PERCENTILES
    assert set(CELL_COLUMNS) <= set(trial_columns())
    columns = [column for spec in MEASURES.values() for column in spec.columns]
    assert len(columns) == len(set(columns))
    assert set(columns) <= set(trial_columns())


def test_what_is_compared_is_a_median_and_a_99th_percentile_and_what_is_summarised_all() -> None:
    assert columns_used_in("ratio")[:4] == ("accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us")
    assert {f"lateness_{name}" for name in PERCENTILES} <= set(columns_used_in("summary"))


def test_a_run_from_before_a_measure_of_orders_is_read_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(tmp_path, "old", {"profile": {"durability": "fast"}})
    run.add_trial(build_trial(), {})
    spec = MeasureSpec(name="coffees", unit="cups", help="cups that were drunk", merge="sum", uses=("orders",))
    monkeypatch.setitem(MEASURES, spec.name, spec)
    orders = RunFolder.open(run.path).summary()["cells"][0]["orders"]
    assert "coffees" not in orders and orders["planned"] == 900
