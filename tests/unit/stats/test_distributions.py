"""Tests binomial and Student's t distributions against scipy and published tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from bench.stats.distributions import binomial_cdf, incomplete_beta, t_quantile


@given(st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0, 1))
def test_the_incomplete_beta_function_is_scipys(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-13)


@pytest.mark.parametrize(("a", "b", "x"), [(0, 1, 0.5), (1, -1, 0.5), (1, 1, 1.5)])
def test_the_incomplete_beta_function_says_where_it_is_not_defined(a: float, b: float, x: float) -> None:
    with pytest.raises(ValueError, match="not defined"):
        incomplete_beta(a, b, x)


@given(st.integers(-1, 400), st.integers(1, 300), st.floats(0.001, 0.999))
def test_binomial_probabilities_are_scipys(successes: int, n: int, p: float) -> None:
    assert binomial_cdf(successes, n, p) == pytest.approx(float(stats.binom.cdf(successes, n, p)), abs=1e-12)


def test_binomial_probabilities_of_a_million_trials_are_scipys() -> None:
    for successes in (989_500, 990_000, 990_300):
        expected = float(stats.binom.cdf(successes, 1_000_000, 0.99))
        assert binomial_cdf(successes, 1_000_000, 0.99) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("degrees", "value"), [(1, 12.706), (2, 4.303), (3, 3.182), (10, 2.228), (120, 1.980)])
def test_quantiles_of_students_t_are_those_of_the_tables(degrees: int, value: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(value, abs=5e-4)


@given(st.floats(0.5, 0.9999), st.integers(1, 300))
def test_quantiles_of_students_t_are_scipys(probability: float, degrees: int) -> None:
    expected = float(stats.t.ppf(probability, degrees))
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-6)


def test_there_is_no_quantile_at_probability_one() -> None:
    with pytest.raises(ValueError, match="no quantile"):
        t_quantile(1.0, 3)
    assert math.isfinite(t_quantile(0.999999, 1))
