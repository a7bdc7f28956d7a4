"""Tests the test of gaps between sends against scipy, and on late or bunched sends."""

import random
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats.gap_test import GapDistribution, compare_with_plan, compare_with_poisson

PER_S = 1000
SECONDS = 20
TOLERANCE_US = 200.0
COARSE = st.lists(st.integers(0, 40), min_size=2, max_size=60)


def poisson_us(seed: int, per_s: float = PER_S) -> list[float]:
    draw = random.Random(seed)
    return list(accumulate(draw.expovariate(per_s / 1e6) for _ in range(round(per_s * SECONDS))))


def constant_us(per_s: float = PER_S) -> list[float]:
    return [number * 1e6 / per_s for number in range(round(per_s * SECONDS))]


def late_us(planned: list[float], typical: float = 50.0) -> list[float]:
    """Each send is late by an exponential time of tens of microseconds."""
    draw = random.Random(3)
    return [due + draw.expovariate(1 / typical) for due in planned]


def bunched_us(planned: list[float], every: float = 10_000.0) -> list[float]:
    """Sends wait for the next multiple of 10 ms."""
    return [-(-due // every) * every for due in planned]


@settings(max_examples=50)
@given(COARSE, COARSE)
def test_the_distance_from_a_plan_is_scipys(sent: list[int], planned: list[int]) -> None:
    found = compare_with_plan(GapDistribution(Counter(sent)), GapDistribution(Counter(planned)))
    assert found.distance == pytest.approx(stats.ks_2samp(sent, planned, method="asymp").statistic)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.floats(0.1, 5))
def test_the_distance_from_poisson_is_scipys(sent: list[float], per_unit: float) -> None:
    expected = stats.kstest(sent, stats.expon(scale=1 / per_unit).cdf).statistic
    assert compare_with_poisson(GapDistribution(Counter(sent)), per_unit).distance == pytest.approx(expected, abs=1e-12)


def test_thresholds_are_scipys_at_one_percent() -> None:
    exact = stats.kstwobign.ppf(0.99)
    sent, planned = GapDistribution({1.0: 4000}), GapDistribution({1.0: 6000})
    assert compare_with_poisson(sent, 1.0).threshold == pytest.approx(exact / 4000**0.5, rel=2e-3)
    assert compare_with_plan(sent, planned).threshold == pytest.approx(exact / 2400**0.5, rel=2e-3)


@given(COARSE, COARSE, st.integers(0, 10))
def test_gaps_that_differ_by_no_more_than_the_tolerance_are_at_no_distance(
    planned: list[int], moves: list[int], tolerance: int
) -> None:
    moved = [gap + move % (2 * tolerance + 1) - tolerance for gap, move in zip(planned, moves, strict=False)]
    kept = planned[: len(moved)]
    assert compare_with_plan(GapDistribution(Counter(moved)), GapDistribution(Counter(kept)), tolerance).distance == 0


@given(COARSE, COARSE)
def test_a_distance_is_the_same_both_ways(one: list[int], other: list[int]) -> None:
    there = compare_with_plan(GapDistribution(Counter(one)), GapDistribution(Counter(other)), 2).distance
    assert there == pytest.approx(
        compare_with_plan(GapDistribution(Counter(other)), GapDistribution(Counter(one)), 2).distance
    )


@pytest.mark.parametrize("planned", [poisson_us(1), constant_us()], ids=["poisson", "constant"])
def test_lateness_of_tens_of_microseconds_passes(planned: list[float]) -> None:
    assert compare_with_plan(
        GapDistribution.from_instants(late_us(planned)), GapDistribution.from_instants(planned), TOLERANCE_US
    ).passed


@pytest.mark.parametrize("planned", [poisson_us(1), constant_us()], ids=["poisson", "constant"])
def test_sends_bunched_in_batches_of_ten_milliseconds_fail(planned: list[float]) -> None:
    assert not compare_with_plan(
        GapDistribution.from_instants(bunched_us(planned)), GapDistribution.from_instants(planned), TOLERANCE_US
    ).passed


def test_bunching_fails_at_a_hundred_orders_a_second_too() -> None:
    planned = poisson_us(1, per_s=100)
    assert not compare_with_plan(
        GapDistribution.from_instants(bunched_us(planned)), GapDistribution.from_instants(planned), TOLERANCE_US
    ).passed


def test_a_constant_beat_fails_a_poisson_plan_and_the_other_way_round() -> None:
    beat, random_ = GapDistribution.from_instants(constant_us()), GapDistribution.from_instants(poisson_us(1))
    assert not compare_with_plan(beat, random_, TOLERANCE_US).passed
    assert not compare_with_plan(random_, beat, TOLERANCE_US).passed
    assert not compare_with_poisson(beat, PER_S / 1e6, TOLERANCE_US).passed


def test_a_poisson_plan_sent_a_little_late_is_poisson() -> None:
    assert compare_with_poisson(GapDistribution.from_instants(late_us(poisson_us(1))), PER_S / 1e6, TOLERANCE_US).passed


def test_another_rate_than_the_one_asked_for_fails() -> None:
    assert not compare_with_poisson(
        GapDistribution.from_instants(poisson_us(1, per_s=1500)), PER_S / 1e6, TOLERANCE_US
    ).passed


def test_one_in_a_hundred_samples_of_the_law_itself_fails() -> None:
    draw = random.Random(5)
    failed = sum(
        not compare_with_poisson(GapDistribution(Counter(draw.expovariate(1) for _ in range(150))), 1.0).passed
        for _ in range(1000)
    )
    assert 2 <= failed <= 20


def test_sends_that_overtook_one_another_are_put_in_order() -> None:
    assert GapDistribution.from_instants([3.0, 1.0, 2.0]).values == [1.0]


def test_one_send_has_no_gap() -> None:
    with pytest.raises(ValueError, match="two sends"):
        GapDistribution.from_instants([1.0])
