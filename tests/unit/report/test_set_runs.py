"""Tests what terminal, page and report.md say of a run in sets, and which interval it is."""

import io
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text
from rich.console import Console

from bench.report.charts import all as gallery
from bench.report.charts import latency, ratios
from bench.report.charts import percentile_spectrum as spectrum
from bench.report.charts.chart import Chart
from bench.report.page import draw_sections, write_page
from bench.report.run_view import read_run_view
from bench.report.terminal.hops import hops_table
from bench.report.terminal.run import render_run
from bench.report.wording import describe_sets, mark_best_cells
from bench.results.caveats import Caveat
from bench.results.rows import HopRow
from bench.results.store import RunFolder
from bench.stats.intervals import Estimate
from tests.unit.builders import CELLS, add_set, build_run, build_set_run, build_trial

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


def add_hops(run: RunFolder) -> None:
    step = HopRow(number=1, service="user", message="m", part="wait", n=5, mean_us=100.0, p50_us=90.0)
    trial = build_trial(round=int(run.trials()["round"].max()) + 1, wire_bytes_per_order=9000.0)
    run.add_trial(trial, {}, [step])


def list_texts(chart: Chart) -> Iterator[str]:
    yield from (chart.heading, chart.says)
    yield from (text.get_text() for text in chart.figure.findobj(Text))


def find_words(texts: Iterator[str]) -> set[str]:
    """Which words for what a run repeats stand there: "round", "set", and "trial" where numbers are over them."""
    text = " ".join(texts)
    found = set(re.findall(r"\b(round|set)s?\b", text))
    return found | ({"trial"} if re.search(r"(over|single|Every|few) trials?\b", text) else set())


@pytest.mark.slow
@pytest.mark.parametrize("chart", ["latency", "spectrum", "hops", "costs", "trials", "ratios"])
@pytest.mark.parametrize(("build", "own"), [(build_set_run, {"set"}), (build_run, {"round", "trial"})])
def test_a_chart_says_sets_of_sets_and_rounds_of_rounds(tmp_path: Path, chart: str, build: Any, own: set[str]) -> None:
    run = build(tmp_path, 6)
    add_hops(run)
    [drawn] = [one for one in gallery.draw_charts(read_run_view(run.path)) if one.name == chart]
    words = find_words(list_texts(drawn))
    assert words
    assert words <= own


@pytest.mark.slow
@pytest.mark.parametrize(("build", "own"), [(build_set_run, {"set"}), (build_run, {"round", "trial"})])
def test_the_page_says_sets_of_sets_and_rounds_of_rounds(tmp_path: Path, build: Any, own: set[str]) -> None:
    write_page([read_run_view(build(tmp_path / "run", 6).path)], tmp_path)
    for name, ends in (("report.md", "## Charts"), ("report.html", '<section aria-labelledby="environment">')):
        whole = (tmp_path / name).read_text("utf-8")
        shown = re.sub(r"(?s)<(style|svg|table|script).*?</\1>", "", whole.partition(ends)[0])
        words = find_words(iter([shown]))
        assert words
        assert words <= own | ({"trial"} if "md" in name else set()), name


@pytest.mark.slow
def test_a_page_of_both_says_both(tmp_path: Path) -> None:
    runs = [build_set_run(tmp_path / "sets", 4), build_run(tmp_path / "rounds")]
    write_page([read_run_view(run.path) for run in runs], tmp_path)
    assert find_words(iter([(tmp_path / "report.md").read_text("utf-8")])) >= {"set", "round"}


@pytest.mark.parametrize(("in_sets", "own"), [(True, {"set"}), (False, {"trial"})])
def test_the_table_of_hops_says_what_its_medians_are_over(tmp_path: Path, in_sets: bool, own: set[str]) -> None:
    run = build_run(tmp_path, 1)
    add_hops(run)
    Console(file=(out := io.StringIO()), width=80).print(hops_table(run.hops(), in_sets=in_sets))
    assert find_words(iter([out.getvalue()])) == own


def test_trials_that_say_nothing_of_their_method_are_named_by_set(tmp_path: Path) -> None:
    for build, word in ((build_set_run, "set"), (build_run, "round")):
        run = build(tmp_path / word, 1)
        run.add_trial(build_trial(round=2, valid=False, caveats=(Caveat("died", "it died", "look"),)), {})
        [said] = run.describe_disqualified()
        assert said.startswith(f"{word} 2 of rest")


def spectrum_of(run: RunFolder, *, in_sets: bool) -> dict[tuple[str, Fraction], Estimate]:
    points = spectrum.build_points(run.trials(), run.histograms("finish"), in_sets=in_sets)
    return {(point.cell, point.quantile): point.latency for point in points}


def test_the_spectrum_of_four_sets_has_bands_up_to_where_their_orders_together_end(run: RunFolder) -> None:
    drawn = spectrum_of(run, in_sets=True)
    quantiles = [quantile for cell, quantile in drawn if cell == "rest"]
    assert Fraction("99/100") in quantiles  # a set of 450 orders has none
    assert Fraction("999/1000") not in quantiles
    assert all(one.low is not None and one.low < one.value < one.high for one in drawn.values())  # type: ignore[operator]
    assert all(one.low is None for one in spectrum_of(run, in_sets=False).values())


def test_the_spectrum_has_the_p99_of_the_table(run: RunFolder) -> None:
    drawn, statistics = spectrum_of(run, in_sets=True), run.set_statistics()
    assert statistics is not None
    for cell in FAR:
        told, point = statistics.estimate_whole("finish_p99_us", cell), drawn[cell, Fraction("99/100")]
        assert told is not None
        numbers = (told.value, told.low, told.high)
        assert (point.value, point.low, point.high) == pytest.approx([number / 1000 for number in numbers])  # type: ignore[operator]


def test_below_p99_the_spectrum_has_the_mean_over_sets_as_the_table_has_p50(run: RunFolder) -> None:
    drawn = spectrum_of(run, in_sets=True)
    of_rest = [histogram for trial, _, histogram in run.histograms("finish") if trial.endswith("-rest")]
    logs = [math.log(histogram.get_value_at_percentile(50) / 1000) for histogram in of_rest]
    assert drawn["rest", Fraction("1/2")].value == pytest.approx(math.exp(sum(logs) / len(logs)), rel=2e-3)


def test_the_spectrum_of_two_sets_has_lines_and_no_bands(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=2, cells=FAR)
    drawn = spectrum_of(run, in_sets=True)
    assert all(one.value is not None and one.low is None for one in drawn.values())
    assert [chart.name for chart in spectrum.draw_charts(run.trials(), run.histograms("finish"), in_sets=True)] == [
        "spectrum"
    ]


@pytest.mark.slow
def test_a_band_ends_where_orders_did_not_finish(tmp_path: Path) -> None:
    """Three in a hundred orders of every set failed: p99 is censored, p95 is not."""
    run = build_set_run(tmp_path, sets=0)
    for set_ in range(1, 5):
        add_set(run, set_, {"rest": FAR["rest"]}, orders=450, planned=464, failed=14)
    drawn = spectrum_of(run, in_sets=True)
    assert drawn["rest", Fraction("19/20")].low is not None
    assert (drawn["rest", Fraction("99/100")].value, drawn["rest", Fraction("99/100")].low) == (math.inf, None)
    [chart] = spectrum.draw_charts(run.trials(), run.histograms("finish"), in_sets=True)
    assert chart.name == "spectrum"
