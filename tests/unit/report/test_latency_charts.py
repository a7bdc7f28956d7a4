"""Tests the latency chart: its content, and that the same data give the same bytes."""

import csv
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.report import style
from bench.report.charts.chart import save_charts
from bench.report.charts.latency import build_points, draw_charts
from bench.results.histograms import Percentiles
from bench.results.store import RunFolder
from tests.unit.builders import CELLS, build_run, build_trial

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = build_run(tmp_path_factory.mktemp("results"), skipped={"rest:httpx+msgpack": "it was left out <here>"})
    save_charts(draw_charts(run.trials(), run.manifest), run.path / "charts")
    return run


def texts(run: RunFolder) -> list[str]:
    root = ET.parse(run.path / "charts" / "latency.svg").getroot()
    return ["".join(node.itertext()).strip() for node in root.iter(f"{SVG}text")]


def test_the_same_data_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    save_charts(draw_charts(run.trials(), run.manifest), tmp_path)
    for name in ("latency.svg", "latency.png", "latency.csv"):
        assert (tmp_path / name).read_bytes() == (run.path / "charts" / name).read_bytes()


def test_every_cell_is_labelled_with_its_codec(run: RunFolder) -> None:
    found = " ".join(texts(run))
    for label in ("REST", "gRPC", "gRPC+json", "RabbitMQ", "Kafka", "protobuf, grpcio", "REST:httpx+msgpack"):
        assert label in found


def test_a_cell_that_is_missing_is_drawn_as_not_available_with_its_reason(run: RunFolder) -> None:
    assert "n/a: it was left out <here>" in texts(run)


def test_the_figure_says_how_much_stands_behind_it(run: RunFolder) -> None:
    assert "n per row: 6 trials of 900 orders, at 150 orders/s." in texts(run)


def test_the_svg_has_a_role_a_title_and_a_sentence_for_those_who_cannot_see_it(run: RunFolder) -> None:
    root = ET.parse(run.path / "charts" / "latency.svg").getroot()
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    described = root.findtext(f"{SVG}desc")
    assert described is not None
    assert re.search(r"REST 5\.\d+ ms \(p50\) and 1\d\.\d ms \(p99\); gRPC ", described)


def test_what_is_drawn_stands_in_a_csv_beside_it(run: RunFolder) -> None:
    with (run.path / "charts" / "latency.csv").open() as file:
        rows = list(csv.DictReader(file))
    trials = run.trials()
    mine = [row for row in rows if (row["cell"], row["panel"], row["quantile"]) == ("broker", "finish", "p99")]
    (median,) = (row for row in mine if row["what"] == "median")
    values = trials.loc[trials["cell"] == "broker", "finish_p99_us"] / 1000
    assert float(median["latency_ms"]) == pytest.approx(values.median(), rel=1e-5)
    assert [float(row["latency_ms"]) for row in mine if row["what"] == "trial"] == pytest.approx(list(values), rel=1e-5)


def test_trials_that_are_not_valid_are_not_drawn(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run", {})
    for number in range(1, 4):
        run.add_trial(build_trial(round=number, valid=number != 2), {})
    assert {point.rounds for point in build_points(run.trials())} == {(1, 3)}


def test_an_invalid_cell_is_drawn_over_all_its_trials_and_says_so(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run", {})
    for number in range(1, 4):
        run.add_trial(build_trial(round=number, valid=False, planned=0 if number == 2 else 900), {})
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc"), {})
    assert {point.rounds for point in build_points(run.trials()) if point.cell == "rest"} == {(1, 3)}
    save_charts(draw_charts(run.trials(), run.manifest), run.path / "charts")
    assert " ".join(texts(run)).count("INVALID") == 1


def test_censored_missing_and_invalid_are_said_in_words(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run", {})
    run.add_trial(build_trial(accept=Percentiles(p50_us=100), finish=Percentiles(p50_us=100, p99_us=math.inf)), {})
    run.add_trial(build_trial(slot=2, cell="grpc", transport="grpc", planned=0, complete=False, valid=False), {})
    run.add_trial(build_trial(slot=3, cell="broker", finish=Percentiles(p50_us=math.inf, p99_us=math.inf)), {})
    save_charts(draw_charts(run.trials(), run.manifest), run.path / "charts")
    found = texts(run)
    assert {"p99 n/a: too few orders", "p99 ∞: not finished", "n/a: no trial"} <= set(found)


def test_a_run_that_brought_no_number_is_drawn_too(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run", {})
    run.add_trial(build_trial(planned=0, complete=False, valid=False), {})
    save_charts(draw_charts(run.trials(), run.manifest), run.path / "charts")
    assert "No trial brought a number." in texts(run)


def contrast_on_white(colour: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)


@pytest.mark.parametrize("transport", [*style.COLOURS, "a fifth one"])
def test_every_colour_can_be_seen_on_white(transport: str) -> None:
    assert contrast_on_white(style.colour(transport)) >= 3


def test_no_two_methods_share_a_colour_or_a_marker() -> None:
    def distinct(of: Mapping[str, str]) -> bool:
        return len(set(of.values())) == len(of)

    assert distinct(style.COLOURS)
    assert distinct(style.MARKERS)
    assert {transport for transport, *_ in CELLS.values()} == set(style.MARKERS)
