"""Tests weighted line fits against scipy."""

import math
import random

import numpy as np
import pytest
from scipy.optimize import curve_fit

from bench.stats.fit import fit_line

KIB = [0.2, 4.0, 64.0, 256.0, 1024.0]


def measured(slope: float, intercept: float, noise: float, seed: int) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    x = KIB * 3
    return x, [(intercept + slope * at) * math.exp(draw.gauss(0, noise)) for at in x]


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_intercept_with_their_errors_are_scipys(seed: int) -> None:
    x, y = measured(slope=12.0, intercept=5000.0, noise=0.1, seed=seed)
    found = fit_line(x, y)
    places, values = np.array(x), np.array(y)
    assert found.slope.value is not None
    assert found.intercept.value is not None
    fitted = found.intercept.value + found.slope.value * places
    best, covariance = curve_fit(lambda at, a, b: a + b * at, places, values, p0=(y[0], 1.0), sigma=fitted)
    assert (found.intercept.value, found.slope.value) == pytest.approx(tuple(best), rel=1e-4)
    t = 2.1603686564610127  # scipy.stats.t.ppf(0.975, 13)
    for estimate, variance in ((found.intercept, covariance[0, 0]), (found.slope, covariance[1, 1])):
        assert estimate.high - estimate.low == pytest.approx(2 * t * math.sqrt(variance), rel=1e-3)  # type: ignore[operator]


@pytest.mark.parametrize("noise", [0.1, 0.25])
def test_95_percent_of_the_intervals_hold_the_slope(noise: float) -> None:
    held = 0
    for seed in range(1000):
        # Of a log-normal scatter the median is 1 and the mean, which a line goes through, is more.
        x, y = measured(slope=12.0, intercept=5000.0, noise=noise, seed=seed)
        found = fit_line(x, [value / math.exp(noise**2 / 2) for value in y])
        assert found.slope.low is not None
        assert found.slope.high is not None
        held += found.slope.low <= 12.0 <= found.slope.high
    assert 0.92 <= held / 1000 <= 0.97


@pytest.mark.parametrize(("luck", "rounds"), [(0.08, 3), (0.15, 3), (0.15, 6), (0.0, 3)])
def test_some_95_percent_of_the_intervals_hold_slope_and_intercept_where_a_round_shares_its_luck(
    luck: float, rounds: int
) -> None:
    """Three rounds know little of how rounds scatter: 93 % at a luck of 0.15, of 1,500."""
    held = {"slope": 0, "intercept": 0}
    for seed in range(600):
        draw = random.Random(seed)
        of_round = [math.exp(draw.gauss(0, luck) - luck**2 / 2) for _ in range(rounds)]
        x = KIB * rounds
        y = [
            (5000.0 + 12.0 * at) * of_round[n // len(KIB)] * math.exp(draw.gauss(0, 0.05) - 0.05**2 / 2)
            for n, at in enumerate(x)
        ]
        found = fit_line(x, y, [n // len(KIB) for n in range(len(x))])
        for name, estimate, truth in (("slope", found.slope, 12.0), ("intercept", found.intercept, 5000.0)):
            assert estimate.low is not None
            assert estimate.high is not None
            held[name] += estimate.low <= truth <= estimate.high
    assert all(0.91 <= count / 600 <= 0.99 for count in held.values()), held


def test_what_a_round_shares_does_not_bend_the_line() -> None:
    x = [1.0, 10.0, 100.0, 1.0, 10.0, 100.0]
    y = [2 * (100.0 + 3 * at) for at in x[:3]] + [0.5 * (100.0 + 3 * at) for at in x[3:]]
    found = fit_line(x, y, [1, 1, 1, 2, 2, 2])
    assert found.slope.value is not None
    assert found.intercept.value is not None
    assert found.intercept.value / found.slope.value == pytest.approx(100 / 3, rel=1e-6)


def test_what_is_no_line_says_where_it_is_farthest_off() -> None:
    bent = fit_line(KIB * 3, [1000 + (5 if at <= 64 else 40) * at for at in KIB * 3])
    assert "no straight line: at " in (bent.slope.reason or "")
    assert bent.slope.value is not None
    x, y = measured(slope=12.0, intercept=5000.0, noise=0.03, seed=1)
    assert not fit_line(x, y).slope.reason


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([1.0, 2.0], [1.0, 2.0], "takes 3 points at 2 places"),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "takes 3 points at 2 places"),
        ([1.0, 2.0, 3.0], [1.0, math.inf, 3.0], "missing, censored or not above 0"),
        ([1.0, 2.0, 3.0], [0.0, 2.0, 3.0], "missing, censored or not above 0"),
    ],
)
def test_what_makes_no_line_has_a_reason(x: list[float], y: list[float], why: str) -> None:
    found = fit_line(x, y)
    assert (found.slope.value, found.slope.low) == (None, None)
    assert why in (found.slope.reason or "")


def test_places_and_values_are_as_many() -> None:
    with pytest.raises(ValueError, match="make no line"):
        fit_line([1.0], [1.0, 2.0])
