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
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from bench.results.analysis import compute_design_effects as compute_effects
from bench.results.histograms import QUANTILES
from bench.results.measures import columns_used_in
from bench.results.store import RunFolder
from bench.runner.eta import forecast_durations_s
from bench.stats.quantiles import samples_needed
from transports.registry import load_transport

pytestmark = pytest.mark.slow

OF_ALL = ("size", "format", "frequency", "outage", "processes", "security", "durability")
STUDIES = (*OF_ALL, "products", "clients", "python")
BROKERS = ("rabbitmq", "kafka")
LONGEST_S = 45 * 60


def build_trials(profile: Profile) -> pd.DataFrame:
    """Of every cell as often as the profile has rounds, with percentiles where there are orders enough."""
    draw = random.Random(3)
    found = []
    for round_ in range(1, profile.rounds + 1):
        for cell in expand_cells(profile):
            orders = cell.profile.orders(cell.rate_per_s)
            row: dict[str, Any] = {"round": round_, "cell": cell.name, "valid": True, "transport": cell.transport}
            row |= cell.columns()
            for metric in columns_used_in("effect"):
                quantile = QUANTILES.get(metric.removeprefix("accept_").removeprefix("finish_"))
                few = quantile is not None and orders < samples_needed(quantile)
                row[metric] = math.nan if few else 1000 * math.exp(draw.gauss(0, 0.05))
            found.append(row)
    return pd.DataFrame(found)


@cache
def compute_study_effects(profile: str) -> pd.DataFrame:
    return compute_effects(build_trials(load_profile(profile)))


def find_effects(profile: str, **wanted: Any) -> Sequence[Mapping[str, Any]]:
    found = compute_study_effects(profile)
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found[found["estimate"].notna() & found["low"].notna()].to_dict("records")


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_takes_no_longer_than_three_quarters_of_an_hour(name: str) -> None:
    profile = load_profile(name)
    assert sum(forecast_durations_s(expand_cells(profile) * profile.rounds, BROKERS)) < LONGEST_S


def test_the_default_run_takes_less_than_nine_minutes() -> None:
    profile = load_profile()
    assert sum(forecast_durations_s(expand_cells(profile) * profile.rounds, BROKERS)) < 9 * 60


FORECAST = [path.parent for path in sorted(REFERENCE.glob("*/manifest.json")) if path.parent.name != "capacity"]
"""Of a search nobody knows beforehand how many trials it takes."""


@pytest.mark.reference
@pytest.mark.parametrize("folder", FORECAST, ids=lambda path: path.name)
def test_what_was_forecast_was_within_a_fifth_of_what_came(folder: Path) -> None:
    run = RunFolder.open(folder)
    last = run.trials().sort_values("opened_epoch_ms").iloc[-1]
    began_s = datetime.fromisoformat(run.manifest["started_at"]).timestamp()
    took_s = last["opened_epoch_ms"] / 1000 + last["duration_s"] - began_s
    assert run.manifest["forecast_s"] == pytest.approx(took_s, rel=0.2)


def test_a_broker_that_is_killed_is_warmed_again() -> None:
    profile = load_profile(settings={"TRANSPORT": "events", "FAULT": "kill-broker"})
    first, second = forecast_durations_s(expand_cells(profile) * 2, BROKERS)
    assert first == second
    whole = load_profile(settings={"TRANSPORT": "events"})
    first, second = forecast_durations_s(expand_cells(whole) * 2, BROKERS)
    assert first > second


def test_a_slow_rate_has_a_longer_warm_up() -> None:
    slow, fast = (load_profile(settings={"TRANSPORT": "rest", "RATE": rate}) for rate in ("5", "100"))
    assert forecast_durations_s(expand_cells(slow), ())[0] > forecast_durations_s(expand_cells(fast), ())[0] + 2


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_has_orders_enough_for_a_median(name: str) -> None:
    profile = load_profile(name)
    for cell in expand_cells(profile):
        assert cell.profile.orders(cell.rate_per_s) >= samples_needed(QUANTILES["p50_us"]), cell.name


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("metric", ["accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us"])
def test_the_frequency_study_tells_how_a_burst_stretches_acceptance_and_completion(transport: str, metric: str) -> None:
    (row,) = find_effects("frequency", transport=transport, level="burst", metric=metric, kind="ratio")
    assert row["base"] == "poisson"
    assert row["context"].endswith("rate_per_s=100")


@pytest.mark.parametrize("transport", ["rest", "grpc", "events"])
def test_the_frequency_study_tells_what_the_first_order_after_a_silence_costs(transport: str) -> None:
    (row,) = find_effects("frequency", transport=transport, factor="keep_alive_s", metric="finish_p50_us", kind="ratio")
    assert (row["level"], row["base"]) == ("0.5", "60")


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
def test_the_frequency_study_tells_what_a_higher_rate_costs(transport: str) -> None:
    rows = find_effects("frequency", transport=transport, factor="rate_per_s", level="300", metric="finish_p99_us")
    assert {row["base"] for row in rows} == {"100"}


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("shape", ["document", "structured"])
@pytest.mark.parametrize("metric", ["finish_p50_us", "cpu_us_per_order_services", "wire_bytes_per_order"])
def test_the_size_study_has_a_slope_for_every_method_in_the_same_format(
    transport: str, shape: str, metric: str
) -> None:
    rows = find_effects("size", transport=transport, kind="slope", metric=metric)
    context = f"shape={shape}" if transport != "grpc" else f"codec=json, shape={shape}"
    assert [row["context"] for row in rows].count(context) == 1


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("codec", ["msgpack", "protobuf", "avro"])
def test_the_format_study_tells_what_a_format_saves_at_either_size(transport: str, codec: str) -> None:
    rows = find_effects(
        "format", transport=transport, factor="codec", level=codec, metric="finish_p50_us", kind="ratio"
    )
    assert {row["base"] for row in rows} == {"json"}
    for order_bytes in (1024, 32768):
        assert any(f"order_bytes={order_bytes}" in row["context"] for row in rows)


@pytest.mark.parametrize("transport", ["rest", "grpc", "events"])
def test_the_format_study_sets_compression_in_one_format_against_that_in_another(transport: str) -> None:
    rows = find_effects("format", transport=transport, factor="codec", level="protobuf", kind="interaction")
    assert any("compression=gzip" in row["context"] for row in rows)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_the_outage_study_tells_what_asking_again_changes(transport: str) -> None:
    rows = find_effects("outage", transport=transport, factor="retries", metric="finish_p50_us", kind="ratio")
    assert [(row["level"], row["base"], row["context"]) for row in rows] == [("50", "0", "fault=kill-payment")]


def test_the_outage_study_takes_no_fault_for_the_base_of_another() -> None:
    assert find_effects("outage", factor="fault") == []


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
def test_the_processes_study_tells_what_a_second_process_buys_at_either_rate(transport: str) -> None:
    rows = find_effects("processes", transport=transport, factor="processes", metric="finish_p50_us", kind="ratio")
    assert {row["context"] for row in rows} == {"rate_per_s=100", "rate_per_s=250"}


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize("metric", ["finish_p50_us", "finish_p99_us", "cpu_us_per_order_services"])
def test_the_durability_study_tells_the_price_of_each_step(transport: str, metric: str) -> None:
    steps = find_effects("durability", transport=transport, metric=metric, kind="ratio")
    assert {(row["factor"], row["level"], row["base"], row["context"]) for row in steps} == {
        ("store", "sqlite", "memory", "durability=fast"),
        ("store", "postgres", "memory", "durability=fast"),
        ("store", "postgres", "sqlite", "durability=safe"),
        ("durability", "safe", "fast", "store=sqlite"),
        ("durability", "safe", "fast", "store=postgres"),
    }


@pytest.mark.parametrize("method", ["broker", "events", "broker+events"])
@pytest.mark.parametrize("factor", ["product", "durability"])
def test_the_products_study_tells_what_a_product_does_to_each_method_and_to_both(method: str, factor: str) -> None:
    (main,) = find_effects("products", transport=method, factor=factor, metric="finish_p99_us", kind="main")
    assert (main["level"], main["base"]) == {"product": ("kafka", "rabbitmq"), "durability": ("safe", "fast")}[factor]


def test_the_products_study_tells_the_method_from_the_product() -> None:
    (main,) = find_effects("products", factor="transport", metric="finish_p50_us", kind="main")
    assert (main["transport"], main["level"], main["base"], main["context"]) == (
        "broker+events",
        "events",
        "broker",
        "",
    )
    both = find_effects("products", factor="transport", metric="finish_p50_us", kind="interaction")
    assert any(row["context"].startswith("product=kafka against rabbitmq") for row in both)


@pytest.mark.parametrize(
    ("transport", "level", "base"),
    [("rest", "httpx", "aiohttp"), ("rest", "httpx-aiohttp", "aiohttp"), ("events", "confluent", "aiokafka")],
)
def test_the_clients_study_sets_each_client_against_the_methods_own(transport: str, level: str, base: str) -> None:
    rows = find_effects(
        "clients", transport=transport, factor="client", level=level, metric="finish_p99_us", kind="ratio"
    )
    assert rows
    assert {row["base"] for row in rows} == {base}
    assert load_transport(transport).Config().client == base


@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
@pytest.mark.parametrize(
    "metric", ["finish_p50_us", "finish_p99_us", "cpu_us_per_order_services", "wire_bytes_per_order"]
)
def test_the_security_study_tells_what_each_level_costs_in_one_format(transport: str, metric: str) -> None:
    rows = find_effects("security", transport=transport, factor="security", metric=metric, kind="main")
    assert [(row["level"], row["base"]) for row in rows] == [("tls", "none"), ("mtls", "none"), ("auth", "none")]


def test_a_broker_is_warmed_at_all_levels_of_security_before_the_first_trial() -> None:
    profile = load_profile("security", {"TRANSPORT": "events"})
    first, *others = forecast_durations_s(expand_cells(profile) * 2, BROKERS)
    assert others == [others[0]] * 7
    assert others[0] < first


def test_every_method_is_in_every_study_of_methods() -> None:
    for name in OF_ALL:
        assert {cell.transport for cell in expand_cells(load_profile(name))} == {"rest", "grpc", "broker", "events"}
