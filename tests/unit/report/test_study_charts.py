"""Tests the charts of a study: ratios, sizes and outages."""

import csv
import math
import random
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.report.charts import effects as of_effects
from bench.report.charts import timeline as of_outage
from bench.report.charts.chart import save_charts
from bench.results.analysis import compute_design_effects as compute_effects

ROUNDS = 6


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def a_design(**changes: Any) -> pd.DataFrame:
    """Two methods in two formats at three sizes; avro takes nine tenths, a KiB 30 us."""
    draw, found = random.Random(2), []
    for round_ in range(1, ROUNDS + 1):
        for transport, client, product in (("rest", "aiohttp", "none"), ("events", "aiokafka", "kafka")):
            for codec, share in (("json", 1.0), ("avro", 0.9)):
                for order_bytes in (1024, 8192, 65536):
                    took_us = (4000 + 30 * order_bytes / 1024) * share * math.exp(draw.gauss(0, 0.01))
                    found.append(
                        {
                            "round": round_,
                            "cell": f"{transport}+{codec}@{order_bytes}",
                            "transport": transport,
                            "client": client,
                            "product": product,
                            "codec": codec,
                            "order_bytes": order_bytes,
                            "valid": True,
                            "planned": 100,
                            "accept_p50_us": took_us / 5,
                            "finish_p50_us": took_us,
                            "cpu_us_per_order_services": took_us / 2,
                            "wire_bytes_per_order": order_bytes * 4.0,
                        }
                        | changes
                    )
    return pd.DataFrame(found)


def test_a_forest_has_every_step_of_every_method(tmp_path: Path) -> None:
    trials = a_design()
    save_charts(of_effects.draw_charts(trials, compute_effects(trials)), tmp_path)
    drawn = rows_of(tmp_path / "effects.csv")
    completion = [row for row in drawn if row["metric"] == "finish_p50_us"]
    assert {(row["transport"], row["level"], row["base"]) for row in completion} == {
        ("rest", "avro", "json"),
        ("events", "avro", "json"),
    }
    assert all(float(row["ratio"]) == pytest.approx(0.9, rel=0.02) for row in completion)
    assert re.search(r"REST with avro for json 0\.(89|90)", (tmp_path / "effects.svg").read_text())
    assert (tmp_path / "effects.png").is_file()


def test_a_method_over_another_product_is_called_so_in_the_forest_and_at_the_lines(tmp_path: Path) -> None:
    trials = a_design()
    trials.loc[trials["transport"] == "events", "product"] = "rabbitmq"
    for chart in of_effects.draw_charts(trials, compute_effects(trials)):
        chart.save(tmp_path)
        drawn = (tmp_path / f"{chart.name}.svg").read_text()
        assert "events on RabbitMQ" in drawn
        assert "Kafka" not in drawn


def test_one_round_has_a_forest_without_intervals(tmp_path: Path) -> None:
    trials = a_design()
    once = trials[trials["round"] == 1]
    found = compute_effects(once)
    found["low"] = found["high"] = None  # as plain python has it
    save_charts(of_effects.draw_charts(once, found), tmp_path)
    assert all(row["low"] == "" for row in rows_of(tmp_path / "effects.csv"))


def test_a_ratio_that_is_infinite_or_zero_is_drawn_at_the_edge(tmp_path: Path) -> None:
    trials = a_design()
    trials.loc[(trials["codec"] == "avro") & (trials["transport"] == "rest"), "finish_p50_us"] = math.inf
    trials.loc[(trials["codec"] == "json") & (trials["transport"] == "events"), "finish_p50_us"] = math.inf
    save_charts(of_effects.draw_charts(trials, compute_effects(trials)), tmp_path)
    assert {row["ratio"] for row in rows_of(tmp_path / "effects.csv") if row["metric"] == "finish_p50_us"} == {
        "inf",
        "0",
    }
    assert (tmp_path / "effects.png").is_file()


def test_lines_over_sizes_have_a_point_for_each_size_and_the_slope_of_effects_csv(tmp_path: Path) -> None:
    trials = a_design()
    save_charts(of_effects.draw_charts(trials, compute_effects(trials)), tmp_path)
    drawn = [row for row in rows_of(tmp_path / "size.csv") if row["metric"] == "finish_p50_us"]
    assert len(drawn) == 2 * 2 * 3
    json = [row for row in drawn if row["context"] == "codec=json"]
    assert all(float(row["slope_per_kib"]) == pytest.approx(30, rel=0.05) for row in json)
    assert (tmp_path / "size.svg").is_file()


def test_without_sizes_or_without_factors_there_is_no_such_chart(tmp_path: Path) -> None:
    one_size = a_design()
    one_size = one_size[one_size["order_bytes"] == 1024]
    save_charts(of_effects.draw_charts(one_size, compute_effects(one_size)), tmp_path / "one size")
    assert {path.suffix for path in (tmp_path / "one size").iterdir()} == {".svg", ".png", ".csv"}
    assert not (tmp_path / "one size" / "size.svg").exists()
    alone = one_size[one_size["codec"] == "json"]
    save_charts(of_effects.draw_charts(alone, compute_effects(alone)), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def a_timeline() -> pd.DataFrame:
    """Payment is away for 3 s: REST's orders fail meanwhile, RabbitMQ's are accepted as before."""
    found = []
    for round_ in range(1, ROUNDS + 1):
        for cell in ("rest@stop-payment", "broker@stop-payment", "broker@kill-broker_safe"):
            for number in range(-8, 24):
                away = 0 <= number < 12
                accept_us = 500.0 if cell.startswith("broker") or not away else math.inf
                found.append(
                    {
                        "round": round_,
                        "slot": 1,
                        "cell": cell,
                        "fault": "kill-broker" if "kill" in cell else "stop-payment",
                        "from_s": number / 4,
                        "planned": 12,
                        "failed": 12 if math.isinf(accept_us) else 0,
                        "accept_p50_us": accept_us,
                        "finish_p50_us": math.inf if away else 5000.0,
                        "valid": True,
                    }
                )
    return pd.DataFrame(found)


OUTAGES = [
    {"cell": cell, "fault": fault, "times": {"away_s": {"estimate": 3.0}}}
    for cell, fault in (("rest@stop-payment", "stop-payment"), ("broker@kill-broker_safe", "kill-broker"))
]


def test_around_an_outage_acceptance_and_completion_are_drawn_for_every_fault(tmp_path: Path) -> None:
    save_charts(of_outage.draw_charts(a_timeline(), OUTAGES), tmp_path)
    drawn = rows_of(tmp_path / "outage.csv")
    (away,) = (row for row in drawn if row["cell"] == "rest@stop-payment" and row["from_s"] == "1.0")
    assert (away["accept_ms"], away["finish_ms"], away["failed_share"]) == ("inf", "inf", "1")
    (queued,) = (row for row in drawn if row["cell"] == "broker@stop-payment" and row["from_s"] == "1.0")
    assert (queued["accept_ms"], queued["finish_ms"]) == ("0.5", "inf")
    text = (tmp_path / "outage.svg").read_text()
    assert "kill-broker" in text
    assert "RabbitMQ safe" in text


def test_without_a_timeline_nothing_is_drawn(tmp_path: Path) -> None:
    save_charts(of_outage.draw_charts(a_timeline().iloc[:0], []), tmp_path / "none")
    assert not (tmp_path / "none").exists()
