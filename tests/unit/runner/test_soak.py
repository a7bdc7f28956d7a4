"""Tests the check for bounded memory on made-up services."""

import io

import pytest
from rich.console import Console

from bench.runner.soak import MAX_GROWTH_MIB, MEMORY_LIMIT_MIB, SoakResult, build_soak_table


def soaked(half_mib: float, full_mib: float) -> SoakResult:
    return SoakResult("rest", 100_000, 700.0, {"user": 50.0, "payment": half_mib}, {"user": 50.0, "payment": full_mib})


@pytest.mark.parametrize(
    ("half_mib", "full_mib", "bounded"),
    [
        (60.0, 60.0, True),
        (60.0, 55.0, True),
        (60.0, 60.0 + MAX_GROWTH_MIB, False),
        (MEMORY_LIMIT_MIB, MEMORY_LIMIT_MIB, False),
        (MEMORY_LIMIT_MIB - 1, MEMORY_LIMIT_MIB - 0.5, True),
    ],
)
def test_a_service_is_bounded_below_the_limit_and_without_growth(
    half_mib: float, full_mib: float, bounded: bool
) -> None:
    assert soaked(half_mib, full_mib).is_bounded("payment") is bounded
    assert soaked(half_mib, full_mib).bounded is bounded


def test_the_table_says_no_at_the_service_that_grows() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(build_soak_table([soaked(60.0, 90.0)]))
    (said_no,) = [line for line in text.getvalue().splitlines() if " NO " in line]
    assert "payment" in said_no
    assert "90.0" in said_no
