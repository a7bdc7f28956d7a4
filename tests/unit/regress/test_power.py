"""Tests the simulation of what a comparison finds, and that the docs have its table."""

import math
import re

import pytest
from scipy import stats

from bench.paths import ROOT
from bench.regress.judge import Threshold
from bench.regress.power import count_sets, find_smallest, measure_scatter, render_kept, simulate_found
from tests.unit.regress.test_judge_sets import build_sets

SHARE = Threshold(share=0.04)


def test_the_scatter_is_that_of_the_logarithms_of_undisturbed_sets() -> None:
    rows = [*build_sets(0.1, sd=0.03), *build_sets(0.9, sd=0.5, void=True, seed=2)]
    assert measure_scatter(rows, "rest", "finish_p50_us") == pytest.approx(0.03)
    assert measure_scatter(rows, "grpc", "finish_p50_us") is None


def test_no_change_is_hardly_ever_found_and_a_large_one_always() -> None:
    assert simulate_found(0.0, 0.05, SHARE, (10, 16)) < 0.001
    assert simulate_found(0.5, 0.05, SHARE, (10, 16)) == 1.0


def test_where_the_screen_sees_all_the_confirmation_alone_decides() -> None:
    """With a threshold of nothing the power is that of one t test at 1 %."""
    change, sd, count = 0.02, 0.02, 12
    found = simulate_found(change, sd, Threshold(share=0.0), (400, count))
    effect = math.log1p(change) / sd * math.sqrt(count)
    expected = stats.nct.sf(stats.t.ppf(0.99, count - 1), count - 1, effect)
    assert found == pytest.approx(expected, abs=0.02)


def test_more_time_finds_smaller_changes_down_to_the_threshold() -> None:
    found = [find_smallest(0.05, SHARE, budget) for budget in (10, 40)]
    assert found[0] is not None and found[1] is not None
    assert found[0] > found[1] > SHARE.share


def test_a_larger_budget_has_more_sets() -> None:
    assert count_sets(40)[0] > count_sets(10)[0] >= 4


@pytest.mark.reference
def test_the_page_has_the_table_of_the_kept_sets() -> None:
    page = (ROOT / "docs" / "regression-times.md").read_text("utf-8")
    shown = re.search(r"<!-- power -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert shown is not None and shown[1] == render_kept()
