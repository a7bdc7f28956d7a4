"""Tests what terminal, page and report.md say of a run in sets, and which interval it is."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.report.charts import latency, ratios
from bench.report.page import draw_sections
from bench.report.run_view import read_run_view
from bench.report.terminal.run import render_run
from bench.report.wording import describe_sets, mark_best_cells
from bench.results.store import RunFolder
from tests.unit.builders import CELLS, build_run, build_set_run

FAR = {name: (*CELLS[name][:4], median_ms) for name, median_ms in (("rest", 5.0), ("grpc", 7.5), ("broker", 10.0))}


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return build_set_run(tmp_path_factory.mktemp("sets"), sets=4, cells=FAR, ended="ended after 4 sets")


def show(run: RunFolder) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(render_run(run.summary(), run.manifest))
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_four_sets_have_intervals_and_no_doubt_of_them(run: RunFolder) -> None:
    said = show(run)
    assert "no-interval" not in said
    assert "Student's t" in said
    assert "leaving out one set at a time" in said
    assert "The run ended after 4 sets." in said


def test_three_sets_without_a_bank_say_what_gives_an_interval(tmp_path: Path) -> None:
    said = show(build_set_run(tmp_path, sets=3, cells=FAR))
    assert "no-interval" in said
    assert "ROUNDS=4" in said
    assert "no interval from 3 sets" in said


def test_the_best_cell_of_four_sets_is_marked(run: RunFolder) -> None:
    assert mark_best_cells(run.trials(), "finish_p50_us") == {}
    assert mark_best_cells(run.trials(), "finish_p50_us", run.set_statistics()) == {"rest": "best"}
    assert set(mark_best_cells(run.trials(), "finish_p99_us", run.set_statistics())) >= {"rest"}


@pytest.mark.slow
def test_the_page_has_the_sentences_of_its_sets(run: RunFolder, tmp_path: Path) -> None:
    [section] = draw_sections([read_run_view(run.path)], tmp_path).sections
    assert section.of_sets == describe_sets(run.summary(), run.manifest)
    assert len(section.of_sets) == 2


def test_the_chart_says_whose_interval_it_is(run: RunFolder) -> None:
    found = run.summary()["ratios"]
    for in_sets, word in ((True, "Student"), (False, "Hodges")):
        [chart] = ratios.draw_charts(found, in_sets=in_sets)
        assert any(word in text.get_text() for text in chart.figure.texts)


def test_the_chart_and_the_table_have_one_number_for_a_cell_p99_among_them(run: RunFolder) -> None:
    """A set has too few orders for a p99, all sets together have enough."""
    metrics = {cell["cell"]: cell["metrics"] for cell in run.summary()["cells"]}
    drawn = {
        (point.cell, point.panel, point.quantile): point.median
        for point in latency.build_points(run.trials(), run.set_statistics())
    }
    for cell in FAR:
        for quantile in ("p50", "p99"):
            number, point = metrics[cell][f"finish_{quantile}_us"], drawn[cell, "finish", quantile]
            assert point.low is not None
            assert (point.value, point.low) == pytest.approx((number["estimate"] / 1000, number["low"] / 1000))
    assert "Means over sets" in show(run)


def test_of_whole_trials_nothing_is_said_of_sets(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    assert describe_sets(run.summary(), run.manifest) == []
    assert "Student" not in show(run)
