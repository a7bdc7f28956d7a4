"""Tests the moderation of variances against scipy's functions and simulated variances."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from bench.stats.moderation import digamma, fit_variance_prior, invert_trigamma, trigamma

POSITIVE = st.floats(1e-3, 1e4)


@given(POSITIVE)
def test_digamma_and_trigamma_are_scipys(x: float) -> None:
    assert digamma(x) == pytest.approx(float(special.digamma(x)), rel=1e-11, abs=1e-11)
    assert trigamma(x) == pytest.approx(float(special.polygamma(1, x)), rel=1e-11)


@given(POSITIVE)
def test_an_inverted_trigamma_is_where_it_came_from(x: float) -> None:
    assert invert_trigamma(trigamma(x)) == pytest.approx(x, rel=1e-9)


@pytest.mark.parametrize("function", [digamma, trigamma, invert_trigamma])
def test_only_positive_numbers_are_taken(function: object) -> None:
    with pytest.raises(ValueError):
        function(0.0)  # type: ignore[operator]


@pytest.mark.parametrize(("middle", "prior", "degrees"), [(0.0004, 6.0, 12), (2.0, 3.0, 4)])
def test_the_prior_of_simulated_variances_is_found_again(middle: float, prior: float, degrees: int) -> None:
    dice = np.random.default_rng(1)
    true = middle * prior / dice.chisquare(prior, 20_000)
    found = fit_variance_prior(list(true * dice.chisquare(degrees, 20_000) / degrees), [degrees] * 20_000)
    assert found == (pytest.approx(middle, rel=0.03), pytest.approx(prior, rel=0.06))


def test_the_moments_are_those_of_the_paper() -> None:
    variances, degrees = [0.5, 4.0, 1.0, 30.0], [3, 3, 8, 8]
    middle, prior = fit_variance_prior(variances, degrees)
    half = np.array(degrees) / 2
    e = np.log(variances) - special.digamma(half) + np.log(half)
    assert special.polygamma(1, prior / 2) == pytest.approx(e.var(ddof=1) - special.polygamma(1, half).mean())
    assert math.log(middle) == pytest.approx(e.mean() + special.digamma(prior / 2) - math.log(prior / 2))


def test_variances_that_differ_by_chance_alone_have_infinite_degrees() -> None:
    assert fit_variance_prior([1.0, 1.1, 0.9], [4, 4, 4])[1] == math.inf


@pytest.mark.parametrize("variances", [[1.0], [], [1.0, 0.0]])
def test_too_few_variances_are_refused(variances: list[float]) -> None:
    with pytest.raises(ValueError):
        fit_variance_prior(variances, [4.0] * len(variances))
