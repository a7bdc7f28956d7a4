"""Tests the analysis of covariance against ordinary least squares, and what it is silent on."""

import numpy as np
import pytest
from scipy import stats

from bench.stats.following import Followed, find_chance_beyond_following


def draw(seed: int, n: int, moved: float = 0.0, slope: float = 0.0, changed: float = 0.0) -> Followed:
    dice = np.random.default_rng(seed)
    reference = moved + dice.normal(0, 0.1, n)
    return Followed(changed + slope * reference + dice.normal(0, 0.02, n), reference)


def test_it_is_the_t_test_of_a_group_beside_a_slope() -> None:
    a, b = draw(1, 7), draw(2, 5, moved=0.2, slope=-0.3, changed=0.03)
    groups = np.array([0.0] * 7 + [1.0] * 5)
    design = np.column_stack([np.ones(12), groups, np.concatenate([a.reference, b.reference])])
    there = np.concatenate([a.ratios, b.ratios])
    fitted, squares, *_ = np.linalg.lstsq(design, there, rcond=None)
    error = np.sqrt(squares[0] / 9 * np.linalg.inv(design.T @ design)[1, 1])
    expected = 2 * stats.t.sf(abs(fitted[1] / error), 9)
    assert find_chance_beyond_following(b, a) == pytest.approx(expected)


def test_a_ratio_that_goes_with_the_reference_did_not_change_and_another_did() -> None:
    slow = draw(4, 10, moved=0.3, slope=-0.4)
    assert (find_chance_beyond_following(slow, draw(3, 10, slope=-0.4)) or 0) > 0.05
    changed = draw(4, 10, moved=0.3, slope=-0.4, changed=0.1)
    assert (find_chance_beyond_following(changed, draw(3, 10, slope=-0.4)) or 1) < 0.001


@pytest.mark.parametrize(
    ("b", "a"),
    [
        (draw(1, 2), draw(2, 1)),
        (draw(1, 0), draw(2, 9)),
        (Followed(np.arange(4.0), np.zeros(4)), Followed(np.arange(4.0), np.ones(4))),
    ],
)
def test_too_few_sets_and_a_reference_that_stood_still_say_nothing(b: Followed, a: Followed) -> None:
    assert find_chance_beyond_following(b, a) is None
