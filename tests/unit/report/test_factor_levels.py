"""Tests the charts of factor levels: content, methods, and when there is none."""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.advise.report import write_report
from bench.report.charts.all import draw_charts as all_charts
from bench.report.charts.chart import save_charts
from bench.report.charts.factor_levels import LEVEL_CHARTS, MAX_METHODS, build_points, draw_charts, select_fault_free
from bench.report.run_view import read_run_view
from bench.results.histograms import Percentiles
from bench.results.store import RunFolder
from tests.unit.builders import build_run, build_trial

LEVELS: Mapping[str, float] = {"none": 1.0, "tls": 1.1, "mtls": 1.15, "auth": 1.3}
CODECS: Mapping[str, str] = {"rest": "json", "grpc": "protobuf", "broker": "json", "events": "json"}


def a_study(root: Path, cells: Iterable[tuple[str, float, Mapping[str, Any]]], rounds: int = 6) -> RunFolder:
    """A run of cells: a name, which begins with the transport, the median completion in ms, and what else it has."""
    run = RunFolder.create(root, "made-up", {"profile": {"designed": True}, "skipped": {}})
    for number in range(1, rounds + 1):
        for slot, (cell, took_ms, changes) in enumerate(cells, 1):
            took_us = 1000 * took_ms * (1 + 0.03 * math.sin(5 * number + slot))
            transport = cell.partition("@")[0].partition("+")[0].partition(":")[0]
            fields = {
                "cell": cell,
                "transport": transport,
                "codec": CODECS[transport],
                "finish": Percentiles(p50_us=took_us, p99_us=3 * took_us),
                "cpu_us_per_order_services": took_us / 2,
                "cpu_us_per_order_broker": took_us / 8 if transport in ("broker", "events") else None,
                "wire_bytes_per_order": 9000.0 + 20 * took_ms,
            }
            run.add_trial(build_trial(round=number, slot=slot, **(fields | changes)), {})
    return run


def secured(root: Path) -> RunFolder:
    """Every method at every level; Kafka's orders do not finish with credentials."""
    return a_study(
        root,
        [
            (f"{transport}@{level}", took_ms * times, {"security": level} | ends)
            for transport, took_ms in (("rest", 3.0), ("grpc", 3.5), ("broker", 6.0), ("events", 9.0))
            for level, times in LEVELS.items()
            for ends in [
                {"finish": Percentiles(p50_us=math.inf, p99_us=math.inf)}
                if (transport, level) == ("events", "auth")
                else {}
            ]
        ],
    )


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return secured(tmp_path_factory.mktemp("results")).trials()


@pytest.fixture(scope="module")
def security(trials: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the chart of these trials."""
    folder = tmp_path_factory.mktemp("charts")
    save_charts(draw_charts(trials), folder)
    return folder


def read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_method_has_every_level_with_its_median_and_every_trial(trials: pd.DataFrame, security: Path) -> None:
    rows = read_rows(security, "security")
    assert len(rows) == 4 * 4 * 4 * (1 + 6)
    of = trials[trials["cell"] == "grpc@mtls"]
    mine = [row for row in rows if (row["cell"], row["metric"]) == ("grpc@mtls", "finish_p99_us")]
    (median,) = (row for row in mine if row["what"] == "median")
    assert (median["method"], median["level"]) == ("gRPC, protobuf", "mtls")
    assert float(median["value"]) == pytest.approx(of["finish_p99_us"].median(), rel=1e-5)
    assert float(median["low"]) == pytest.approx(of["finish_p99_us"].min(), rel=1e-5)
    assert [float(row["value"]) for row in mine if row["what"] == "trial"] == pytest.approx(
        list(of["finish_p99_us"]), rel=1e-5
    )


def test_the_cpu_is_of_services_and_broker_together(trials: pd.DataFrame) -> None:
    of = trials[trials["cell"] == "broker@tls"]
    (point,) = (
        one
        for one in build_points(select_fault_free(trials), ("security",), ["cpu_us_per_order"])
        if one.cell == "broker@tls"
    )
    assert point.trials == pytest.approx(list(of["cpu_us_per_order_services"] + of["cpu_us_per_order_broker"]))


def test_along_a_row_every_panel_has_the_same_axis(trials: pd.DataFrame) -> None:
    (chart,) = draw_charts(trials)
    panels = chart.figure.get_axes()
    limits = [axes.get_ylim() for axes in panels]
    assert [limits[at : at + 4] for at in range(0, 16, 4)] == [[limits[at]] * 4 for at in range(0, 16, 4)]
    assert [tick.get_text() for tick in panels[-1].get_xticklabels()] == list(LEVELS)


def test_what_did_not_finish_is_drawn_at_the_top_and_said(security: Path) -> None:
    rows = read_rows(security, "security")
    (median,) = (
        row for row in rows if (row["cell"], row["metric"], row["what"]) == ("events@auth", "finish_p50_us", "median")
    )
    assert median["value"] == "inf"
    assert "auth ∞ ms" in (security / "security.svg").read_text("utf-8")


def test_durability_is_drawn_with_the_store_and_steps_that_no_method_has_are_not(tmp_path: Path) -> None:
    steps = {"memory_fast": ("memory", "fast"), "sqlite_fast": ("sqlite", "fast"), "sqlite_safe": ("sqlite", "safe")}
    run = a_study(
        tmp_path,
        [
            (f"{transport}@{name}", 3.0 + place, {"store": store, "durability": durability})
            for transport in ("rest", "broker")
            for place, (name, (store, durability)) in enumerate(steps.items())
        ],
    )
    save_charts(draw_charts(run.trials()), tmp_path / "charts")
    rows = read_rows(tmp_path / "charts", "durability")
    assert [path.name for path in (tmp_path / "charts").glob("*.csv")] == ["durability.csv"]
    assert {(row["method"], row["level"]) for row in rows} == {
        (method, level) for method in ("REST", "RabbitMQ") for level in ("memory fast", "sqlite fast", "sqlite safe")
    }


def test_products_are_compared_on_each_method_and_class_and_their_clients_go_with_them(tmp_path: Path) -> None:
    clients = {"rabbitmq": "aio-pika", "kafka": "aiokafka"}
    run = a_study(
        tmp_path,
        [
            (
                f"{transport}+{product}@{durability}",
                5.0,
                {"product": product, "client": client, "durability": durability},
            )
            for transport in ("broker", "events")
            for product, client in clients.items()
            for durability in ("fast", "safe")
        ],
    )
    found = {chart.name: chart for chart in draw_charts(run.trials())}
    assert set(found) == {"product", "durability"}
    assert {(row[0], row[1]) for row in found["product"].rows} == {
        (f"{method}, {durability}", product)
        for method in ("broker", "events")
        for durability in ("fast", "safe")
        for product in clients
    }
    assert {row[0] for row in found["durability"].rows} == {
        "RabbitMQ",
        "broker on Kafka",
        "events on RabbitMQ",
        "Kafka",
    }


def test_a_client_is_a_level_of_the_method_that_has_several(tmp_path: Path) -> None:
    cells = [
        ("rest@60", 3.0, {"client": "aiohttp"}),
        ("rest:httpx@60", 5.0, {"client": "httpx"}),
        ("events@60", 9.0, {"client": "aiokafka"}),
    ]
    (chart,) = draw_charts(a_study(tmp_path, cells).trials())
    assert {(row[0], row[1]) for row in chart.rows} == {("REST", "aiohttp"), ("REST", "httpx")}


def test_where_nothing_of_it_varies_a_fault_does_or_too_many_methods_have_it_there_is_no_chart(tmp_path: Path) -> None:
    assert list(draw_charts(build_run(tmp_path / "plain").trials())) == []
    away = {"fault": "kill-broker"}
    cells = [("broker@kill", 5.0, away), ("broker@kill_safe", 5.0, {**away, "durability": "safe"})]
    assert list(draw_charts(a_study(tmp_path / "away", cells).trials())) == []
    many = [
        (f"rest@{rate_per_s}_{level}", 5.0, {"security": level, "rate_per_s": float(rate_per_s)})
        for rate_per_s in range(1, MAX_METHODS + 2)
        for level in ("none", "tls")
    ]
    assert list(draw_charts(a_study(tmp_path / "many", many, rounds=1).trials())) == []


def test_a_cell_that_is_invalid_is_shown_and_says_so(tmp_path: Path) -> None:
    cells = [("rest@none", 3.0, {}), ("rest@tls", 3.5, {"security": "tls", "valid": False})]
    (chart,) = draw_charts(a_study(tmp_path, cells).trials())
    assert {(row[1], row[-1]) for row in chart.rows} == {("none", "true"), ("tls", "false")}


@pytest.mark.slow
def test_the_report_has_them_beside_the_other_charts(tmp_path: Path) -> None:
    run = secured(tmp_path)
    names = [chart.name for chart in all_charts(read_run_view(run.path))]
    assert set(names) & set(LEVEL_CHARTS) == {"security"}
    assert names.index("security") < names.index("latency")


@pytest.mark.slow
def test_in_a_report_of_several_runs_they_stand_in_for_the_bars_of_all_levels(tmp_path: Path) -> None:
    run, other = secured(tmp_path), build_run(tmp_path / "other", rounds=1)
    renamed = other.path.rename(tmp_path / "second")
    page = write_report([run.path, renamed], tmp_path / "out").read_text("utf-8")
    figures = dict(re.findall(r'<figure id="([^"]*)">(.*?)</figure>', page, re.DOTALL))
    assert {name: "<svg" in figure for name, figure in figures.items() if "latency" in name or "security" in name} == {
        "made-up-security": True,
        "made-up-latency": False,
        "second-latency": True,
    }


def a_study_of_interpreters(root: Path) -> RunFolder:
    return a_study(
        root,
        [
            (f"{transport}@{name}", took_ms, {"interpreter": name})
            for transport, took_ms in (("rest", 3.0), ("grpc", 3.5))
            for name in ("3.11.2+pgo", "3.11.7", "3.13.0")
        ],
    )


@pytest.mark.slow
def test_interpreters_are_levels_of_a_chart_of_their_own(tmp_path: Path) -> None:
    (chart,) = draw_charts(a_study_of_interpreters(tmp_path).trials())
    assert chart.name == "interpreter"
    assert list(dict.fromkeys(row[1] for row in chart.rows)) == ["3.11.2+pgo", "3.11.7", "3.13.0"]


def test_methods_are_compared_with_the_same_interpreter_alone(tmp_path: Path) -> None:
    ratios = a_study_of_interpreters(tmp_path).summary()["ratios"]
    assert {(ratio["cell"], ratio["base"]) for ratio in ratios} == {
        (f"grpc@{name}", f"rest@{name}") for name in ("3.11.2+pgo", "3.11.7", "3.13.0")
    }


@pytest.mark.slow
def test_the_effects_of_interpreters_are_ratios_to_the_oldest(tmp_path: Path) -> None:
    effects = a_study_of_interpreters(tmp_path).effects()
    found = effects[(effects["factor"] == "interpreter") & (effects["metric"] == "finish_p50_us")]
    assert set(found["base"]) == {"3.11.2+pgo"}
    assert set(found["level"]) == {"3.11.7", "3.13.0"}
    assert set(found["transport"]) == {"rest", "grpc"}
