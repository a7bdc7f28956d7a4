"""Tests the bundled studies: what effects they can show and how long they take."""

import math
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.paths import REFERENCE
from bench.profile.loader import load
from bench.profile.matrix import at, cells
from bench.profile.schema import Profile
from bench.results.analysis import compute_design_effects as compute_effects
from bench.results.analysis import factor_columns
from bench.results.histograms import QUANTILES
from bench.results.measures import columns_used_in
from bench.results.store import RunFolder
from bench.runner.eta import forecast_durations_s
from bench.stats.quantiles import samples_needed
from transports.registry import load_transport

STUDIES = ("size", "format", "frequency", "outage", "processes", "security", "durability", "products", "clients")
OF_ALL = ("size", "format", "frequency", "outage", "processes", "security", "durability")
BROKERS = ("rabbitmq", "kafka")
LONGEST_S = 45 * 60


def trials(profile: Profile) -> pd.DataFrame:
    """Of every cell as often as the profile has rounds, with percentiles where there are orders enough."""
    draw = random.Random(3)
    found = []
    for round_ in range(1, profile.rounds + 1):
        for cell in cells(profile):
            here = at(profile, cell)
            orders = here.orders(cell.rate_per_s)
            row: dict[str, Any] = {"round": round_, "cell": cell.name, "valid": True, "transport": cell.transport}
            row |= {"client": cell.client, "codec": cell.codec, "compression": cell.compression}
            row |= {"product": cell.product}
            row |= {"order_bytes": here.payload_bytes, "fault": "none" if here.fault is None else here.fault.name}
            row |= {name: getattr(here, name) for name in factor_columns() if name not in row and hasattr(here, name)}
            row |= {"rate_per_s": cell.rate_per_s}
            for metric in columns_used_in("effect"):
                quantile = QUANTILES.get(metric.removeprefix("accept_").removeprefix("finish_"))
                few = quantile is not None and orders < samples_needed(quantile)
                row[metric] = math.nan if few else 1000 * math.exp(draw.gauss(0, 0.05))
            found.append(row)
    return pd.DataFrame(found)


@cache
def effects_of(profile: str) -> pd.DataFrame:
    return compute_effects(trials(load(profile)))


def told(profile: str, **wanted: Any) -> Sequence[Mapping[str, Any]]:
    found = effects_of(profile)
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found[found["estimate"].notna() & found["low"].notna()].to_dict("records")


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_takes_no_longer_than_three_quarters_of_an_hour(name: str) -> None:
    profile = load(name)
    assert sum(forecast_durations_s(profile, cells(profile) * profile.rounds, BROKERS)) < LONGEST_S


def test_the_default_run_takes_less_than_nine_minutes() -> None:
    profile = load()
    assert sum(forecast_durations_s(profile, cells(profile) * profile.rounds, BROKERS)) < 9 * 60


KEPT = REFERENCE
FORECAST = [path.parent for path in sorted(KEPT.glob("*/manifest.json")) if path.parent.name != "capacity"]
"""Of a search nobody knows beforehand how many trials it takes."""


@pytest.mark.parametrize("kept", FORECAST, ids=lambda path: path.name)
def test_what_was_forecast_was_within_a_fifth_of_what_came(kept: Path) -> None:
    run = RunFolder.open(kept)
    last = run.trials().sort_values("opened_epoch_ms").iloc[-1]
    began_s = datetime.fromisoformat(run.manifest["started_at"]).timestamp()
    took_s = last["opened_epoch_ms"] / 1000 + last["duration_s"] - began_s
    assert run.manifest["forecast_s"] == pytest.approx(took_s, rel=0.2)


def test_a_broker_that_is_killed_is_warmed_again() -> None:
    profile = load(flags={"TRANSPORT": "events", "FAULT": "kill-broker"})
    first, second = forecast_durations_s(profile, cells(profile) * 2, BROKERS)
    assert first == second
    whole = load(flags={"TRANSPORT": "events"})
    first, second = forecast_durations_s(whole, cells(whole) * 2, BROKERS)
    assert first > second


def test_a_slow_rate_has_a_longer_warm_up() -> None:
    slow, fast = (load(flags={"TRANSPORT": "rest", "RATE": rate}) for rate in ("5", "100"))
    assert forecast_durations_s(slow, cells(slow), ())[0] > forecast_durations_s(fast, cells(fast), ())[0] + 2


@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_has_orders_enough_for_a_median(name: str) -> None:
    profile = load(name)
    for cell in cells(profile):
        assert at(profile, cell).orders(cell.rate_per_s) >= samples_needed(QUANTILES["p50_us"]), cell.name


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("metric", ["accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us"])
def test_the_frequency_study_tells_how_a_burst_stretches_acceptance_and_completion(transport: str, metric: str) -> None:
    (row,) = told("frequency", transport=transport, level="burst", metric=metric, kind="ratio")
    assert row["base"] == "poisson"
    assert row["context"].endswith("rate_per_s=100")


@pytest.mark.parametrize("transport", ["rest", "grpc", "events"])
def test_the_frequency_study_tells_what_the_first_order_after_a_silence_costs(transport: str) -> None:
    (row,) = told("frequency", transport=transport, factor="keep_alive_s", metric="finish_p50_us", kind="ratio")
    assert (row["level"], row["base"]) == ("0.5", "60")


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
def test_the_frequency_study_tells_what_a_higher_rate_costs(transport: str) -> None:
    rows = told("frequency", transport=transport, factor="rate_per_s", level="300", metric="finish_p99_us")
    assert {row["base"] for row in rows} == {"100"}


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("shape", ["document", "structured"])
@pytest.mark.parametrize("metric", ["finish_p50_us", "cpu_us_per_order_services", "wire_bytes_per_order"])
def test_the_size_study_has_a_slope_for_every_method_in_the_same_format(
    transport: str, shape: str, metric: str
) -> None:
    rows = told("size", transport=transport, kind="slope", metric=metric)
    context = f"shape={shape}" if transport != "grpc" else f"codec=json, shape={shape}"
    assert [row["context"] for row in rows].count(context) == 1


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("codec", ["msgpack", "protobuf", "avro"])
def test_the_format_study_tells_what_a_format_saves_at_either_size(transport: str, codec: str) -> None:
    rows = told("format", transport=transport, factor="codec", level=codec, metric="finish_p50_us", kind="ratio")
    assert {row["base"] for row in rows} == {"json"}
    for order_bytes in (1024, 32768):
        assert any(f"order_bytes={order_bytes}" in row["context"] for row in rows)


@pytest.mark.parametrize("transport", ["rest", "grpc", "events"])
def test_the_format_study_sets_compression_in_one_format_against_that_in_another(transport: str) -> None:
    rows = told("format", transport=transport, factor="codec", level="protobuf", kind="interaction")
    assert any("compression=gzip" in row["context"] for row in rows)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_the_outage_study_tells_what_asking_again_changes(transport: str) -> None:
    rows = told("outage", transport=transport, factor="retries", metric="finish_p50_us", kind="ratio")
    assert [(row["level"], row["base"], row["context"]) for row in rows] == [("50", "0", "fault=kill-payment")]


def test_the_outage_study_takes_no_fault_for_the_base_of_another() -> None:
    assert told("outage", factor="fault") == []


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
def test_the_processes_study_tells_what_a_second_process_buys_at_either_rate(transport: str) -> None:
    rows = told("processes", transport=transport, factor="processes", metric="finish_p50_us", kind="ratio")
    assert {row["context"] for row in rows} == {"rate_per_s=100", "rate_per_s=250"}


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("metric", ["finish_p50_us", "finish_p99_us", "cpu_us_per_order_services"])
def test_the_durability_study_tells_the_price_of_each_step(transport: str, metric: str) -> None:
    steps = told("durability", transport=transport, metric=metric, kind="ratio")
    assert {(row["factor"], row["level"], row["base"], row["context"]) for row in steps} == {
        ("store", "sqlite", "memory", "durability=fast"),
        ("durability", "safe", "fast", "store=sqlite"),
    }


@pytest.mark.parametrize("method", ["broker", "events", "broker+events"])
@pytest.mark.parametrize("factor", ["product", "durability"])
def test_the_products_study_tells_what_a_product_does_to_each_method_and_to_both(method: str, factor: str) -> None:
    (main,) = told("products", transport=method, factor=factor, metric="finish_p99_us", kind="main")
    assert (main["level"], main["base"]) == {"product": ("kafka", "rabbitmq"), "durability": ("safe", "fast")}[factor]


def test_the_products_study_tells_the_method_from_the_product() -> None:
    (main,) = told("products", factor="transport", metric="finish_p50_us", kind="main")
    assert (main["transport"], main["level"], main["base"], main["context"]) == (
        "broker+events",
        "events",
        "broker",
        "",
    )
    both = told("products", factor="transport", metric="finish_p50_us", kind="interaction")
    assert any(row["context"].startswith("product=kafka against rabbitmq") for row in both)


@pytest.mark.parametrize(
    ("transport", "level", "base"),
    [("rest", "httpx", "aiohttp"), ("rest", "httpx-aiohttp", "aiohttp"), ("events", "confluent", "aiokafka")],
)
def test_the_clients_study_sets_each_client_against_the_methods_own(transport: str, level: str, base: str) -> None:
    rows = told("clients", transport=transport, factor="client", level=level, metric="finish_p99_us", kind="ratio")
    assert rows
    assert {row["base"] for row in rows} == {base}
    assert load_transport(transport).Config().client == base


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize(
    "metric", ["finish_p50_us", "finish_p99_us", "cpu_us_per_order_services", "wire_bytes_per_order"]
)
def test_the_security_study_tells_what_each_level_costs_in_one_format(transport: str, metric: str) -> None:
    rows = told("security", transport=transport, factor="security", metric=metric, kind="main")
    assert [(row["level"], row["base"]) for row in rows] == [("tls", "none"), ("mtls", "none"), ("auth", "none")]


def test_a_broker_is_warmed_at_each_level_of_security() -> None:
    profile = load("security", {"TRANSPORT": "events"})
    (first, *others), again = (forecast_durations_s(profile, cells(profile) * 2, BROKERS)[at : at + 4] for at in (0, 4))
    assert others == [first] * 3
    assert max(again) < first


def test_every_method_is_in_every_study_of_methods() -> None:
    for name in OF_ALL:
        assert {cell.transport for cell in cells(load(name))} == {"rest", "grpc", "broker", "events"}
