"""Tests what THRESHOLDS understands, and when a cell keeps it."""

from typing import Any

import pytest

from bench.results.thresholds import Standing, describe_missed, judge_thresholds, parse_thresholds
from tests.conftest import refuses


def build_summary(**metrics: Any) -> dict[str, Any]:
    orders = {"planned": 2000, "failed": 3, "unfinished": 0, "lost": 0, "duplicated": 0}
    numbers = {"finish_p50_us": 5000.0, "finish_p99_us": 20_000.0, "achieved_per_s": 149.0, **metrics}
    made = {"metrics": {name: {"estimate": number} for name, number in numbers.items()}, "orders": orders}
    return {"cells": [{"cell": "rest", "transport": "rest", **made}, {"cell": "grpc", "transport": "grpc", **made}]}


def judge(text: str, **metrics: Any) -> list[Standing]:
    return judge_thresholds(parse_thresholds(text), build_summary(**metrics))


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("p99<50ms", True),
        ("p99<20ms", False),
        ("p99<=20ms", True),
        ("p99<0.021s", True),
        ("p99<19000us", False),
        ("P50 < 6 ms", True),
        ("finish_p99_us<50ms", True),
        ("failed<0.2%", True),
        ("failed<0.15%", False),
        ("failed<=3", True),
        ("failed<3", False),
        ("lost<1", True),
        ("achieved>148", True),
        ("achieved>149/s", False),
    ],
)
def test_a_limit_is_kept_in_the_unit_in_which_it_is_typed(text: str, is_kept: bool) -> None:
    assert [one.holds for one in judge(text)] == [is_kept, is_kept]


def test_several_limits_hold_for_each_cell() -> None:
    found = judge("p50<6ms, p99<10ms")
    assert [(one.cell, one.limit.typed, one.holds) for one in found] == [
        ("rest", "p50<6ms", True),
        ("grpc", "p50<6ms", True),
        ("rest", "p99<10ms", False),
        ("grpc", "p99<10ms", False),
    ]
    assert len(list(describe_missed(found))) == 2


def test_a_cell_is_named_as_it_is() -> None:
    (limit,) = parse_thresholds("broker@1KiB_compressible-0.5/p99<50ms")
    assert (limit.cell, limit.name) == ("broker@1KiB_compressible-0.5", "finish_p99_us")


def test_a_limit_may_be_of_one_cell() -> None:
    assert [one.cell for one in judge("grpc/p99<50ms")] == ["grpc"]
    with refuses("unknown-cell", "broker"):
        judge("broker/p99<50ms")


@pytest.mark.parametrize("number", [None, "inf"])
def test_a_number_that_is_not_known_or_never_came_keeps_no_limit(number: object) -> None:
    assert not any(one.holds for one in judge("p99<50ms", finish_p99_us=number))


def test_a_measure_that_the_run_does_not_have_keeps_no_limit() -> None:
    assert [one.value for one in judge("accept_p99.9<50ms")] == [None, None]
    assert not any(one.holds for one in judge("accept_p99.9<50ms"))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("unknown-threshold", "p98<50ms"),
        ("unknown-threshold", "latency<50ms"),
        ("bad-threshold", "p99"),
        ("bad-threshold", "p99=50ms"),
        ("bad-threshold", "p99<fast"),
        ("bad-threshold", "p99<50"),
        ("bad-threshold", "p99<50kg"),
        ("bad-threshold", "failed<1ms"),
        ("bad-threshold", "achieved>5%"),
        ("bad-threshold", "<50ms"),
        ("bad-threshold", ","),
        ("bad-threshold", " "),
    ],
)
def test_what_is_no_limit_is_refused(code: str, text: str) -> None:
    with refuses(code):
        parse_thresholds(text)


def test_bare_chains_keep_no_limits() -> None:
    summary = build_summary()
    summary["cells"].append({**summary["cells"][0], "cell": "bare-rest", "transport": "bare-rest"})
    assert [one.cell for one in judge_thresholds(parse_thresholds("p99<50ms"), summary)] == ["rest", "grpc"]
