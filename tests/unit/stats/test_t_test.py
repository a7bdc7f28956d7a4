"""Tests the t test against scipy."""

import math
import random

import pytest
from scipy import stats

from bench.stats.t_test import t_test

VALUES = (0.011, -0.02, 0.034, 0.05, 0.004, 0.027)


def test_p_values_and_interval_are_those_of_scipy() -> None:
    found = t_test(VALUES)
    assert found is not None
    scipy = stats.ttest_1samp(VALUES, 0.0, alternative="greater")
    assert found.p_above == pytest.approx(scipy.pvalue)
    assert found.p_below == pytest.approx(stats.ttest_1samp(VALUES, 0.0, alternative="less").pvalue)
    ends = stats.ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_a_mean_below_0_is_told_below() -> None:
    found, mirror = t_test([-value for value in VALUES]), t_test(VALUES)
    assert found is not None and mirror is not None
    assert (found.p_below, found.p_above) == pytest.approx((mirror.p_above, mirror.p_below))


def test_the_smallest_mean_is_found_in_95_of_100() -> None:
    dice, n, sd = random.Random(5), 10, 0.03
    reference = 2 * stats.t.ppf(0.95, n - 1) * sd / math.sqrt(n)
    found = 0
    for _ in range(2000):
        test = t_test([dice.gauss(reference, sd) for _ in range(n)])
        found += test is not None and test.p_above <= 0.05
    assert 0.93 <= found / 2000 <= 0.985


@pytest.mark.parametrize("values", [(), (0.1,), (0.1, 0.1)])
def test_too_few_values_and_values_without_scatter_have_none(values: tuple[float, ...]) -> None:
    assert t_test(values) is None
