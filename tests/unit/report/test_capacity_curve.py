"""Tests the chart of latency against achieved rate."""

import csv
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.report.charts.capacity_curve import build_points, draw_charts
from bench.report.charts.chart import save_charts
from bench.results.histograms import compute_percentiles
from bench.results.store import RunFolder
from tests.unit.builders import build_histogram, build_run, build_trial

RATES = (50, 100, 200)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder.create(tmp_path_factory.mktemp("results"), "curve", {"profile": {}, "skipped": {}})
    for round_ in range(1, 7):
        for slot, (method, transport, codec) in enumerate((("rest", "rest", "json"), ("grpc+json", "grpc", "json")), 1):
            for rate_per_s in RATES:
                found = build_histogram(2 + rate_per_s / 20 + slot, seed=round_ * 1000 + rate_per_s + slot)
                run.add_trial(
                    build_trial(
                        round=round_,
                        slot=slot,
                        cell=f"{method}@{rate_per_s}",
                        transport=transport,
                        codec=codec,
                        offered_per_s=float(rate_per_s),
                        achieved_per_s=0.97 * rate_per_s,
                        finish=compute_percentiles(found),
                        valid=not (method == "rest" and rate_per_s == 200),
                    ),
                    {},
                )
    return run


def test_a_line_has_a_point_for_each_rate_in_rising_order(run: RunFolder) -> None:
    medians = [point for point in build_points(run.trials()) if point.quantile == "p50"]
    for method in ("rest", "grpc+json"):
        line = [point for point in medians if point.method == method]
        assert [point.achieved_per_s for point in line] == [0.97 * rate_per_s for rate_per_s in RATES]
        values = [point.latency.value or 0 for point in line]
        assert values == sorted(values)


def test_an_invalid_cell_is_drawn_as_one(run: RunFolder) -> None:
    invalid = {point.cell for point in build_points(run.trials()) if not point.valid}
    assert invalid == {"rest@200"}


def test_what_did_not_finish_is_drawn_at_the_top_and_not_left_out(run: RunFolder, tmp_path: Path) -> None:
    save_charts(draw_charts(run.trials()), tmp_path / "finite")
    trials = run.trials()
    trials.loc[trials["cell"] == "grpc+json@200", "finish_p99_us"] = math.inf
    save_charts(draw_charts(trials), tmp_path / "censored")
    finite, censored = ((tmp_path / name / "curve.svg").read_text() for name in ("finite", "censored"))
    assert censored.count("∞</text>") == finite.count("∞</text>") + 1


def test_what_is_drawn_stands_in_a_csv_beside_it(run: RunFolder, tmp_path: Path) -> None:
    save_charts(draw_charts(run.trials()), tmp_path / "charts")
    with (tmp_path / "charts" / "curve.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 3 * 2
    first = lines[0]
    assert (first["method"], first["cell"], first["quantile"], first["trials"]) == ("rest", "rest@50", "p50", "6")
    assert float(first["low_ms"]) < float(first["latency_ms"]) < float(first["high_ms"])


def test_the_same_data_give_the_same_bytes_and_a_sentence_for_those_who_cannot_see(
    run: RunFolder, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        save_charts(draw_charts(run.trials()), tmp_path / name)
    one, other = ((tmp_path / name / "curve.svg").read_text() for name in ("one", "other"))
    assert one == other
    assert "REST" in one
    assert "at 48.5 orders/s" in one


def test_cells_that_keep_their_connections_for_another_time_are_lines_of_their_own(run: RunFolder) -> None:
    trials = run.trials()
    other = trials.assign(cell=trials["cell"] + "_keep-alive-0.5", keep_alive_s=0.5)
    found = {point.method for point in build_points(pd.concat([trials, other], ignore_index=True))}
    assert found == {f"{method}, keep_alive_s {at}" for method in ("rest", "grpc+json") for at in (0.0, 0.5)}


def test_a_long_legend_is_as_wide_as_the_figure_and_no_wider(run: RunFolder, tmp_path: Path) -> None:
    trials = run.trials()
    many = [trials.assign(cell=trials["cell"] + f"_{kind}", arrivals=kind) for kind in ("poisson", "constant")]
    save_charts(draw_charts(pd.concat(many, ignore_index=True)), tmp_path)
    svg = (tmp_path / "curve.svg").read_text()
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])  # type: ignore[index]
    labels = re.findall(r'<text[^>]*transform="translate\(([-\d.]+) [^)]*\)"[^>]*>[^<]*arrivals[^<]*<', svg)
    labels += re.findall(r'<text[^>]*x="([-\d.]+)"[^>]*>[^<]*arrivals[^<]*<', svg)
    assert len(labels) == 4
    assert all(30 < float(x) < width - 150 for x in labels)


def test_a_run_at_one_rate_has_no_curve(tmp_path: Path) -> None:
    made = build_run(tmp_path / "run", rounds=1)
    save_charts(draw_charts(made.trials()), tmp_path / "charts")
    assert not (tmp_path / "charts").exists()
