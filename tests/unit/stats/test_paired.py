"""Tests paired ratios against scipy's signed-rank test, tables and simulation."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats.paired import find_signed_rank_bound, log_ratios, paired_ratio

POSITIVE = st.floats(1e-3, 1e6)
INF = math.inf


def in_rounds(*ratios: float) -> tuple[list[float], list[float]]:
    """Values and bases with these ratios; infinity and zero come from a censored value or base."""
    return [ratio if ratio else 1.0 for ratio in ratios], [1.0 if ratio else INF for ratio in ratios]


@pytest.mark.parametrize(
    ("n", "critical"),
    [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (11, 10), (12, 13), (15, 25), (20, 52), (25, 89)],
)
def test_ranks_are_one_more_than_the_published_critical_values(n: int, critical: int) -> None:
    assert find_signed_rank_bound(n)[0] == critical + 1


def test_six_rounds_give_the_extremes_with_96_9_percent() -> None:
    assert find_signed_rank_bound(6) == (1, 0.96875)


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_than_six_rounds_have_no_rank(n: int) -> None:
    assert find_signed_rank_bound(n) == (0, 0.0)


def test_a_hundred_rounds_agree_with_the_normal_approximation() -> None:
    k, coverage = find_signed_rank_bound(100)
    spread = math.sqrt(100 * 101 * 201 / 24)
    assert k == pytest.approx(100 * 101 / 4 - 1.96 * spread, abs=2)
    assert coverage == pytest.approx(0.95, abs=0.001)


def test_the_depression_scores_of_hollander_and_wolfe_give_their_estimate_and_interval() -> None:
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    found = paired_ratio(*([math.exp(score) for score in scores] for scores in (after, before)))
    assert found.value == pytest.approx(math.exp(-0.46))
    assert found.low == pytest.approx(math.exp(-0.786))
    assert found.high == pytest.approx(math.exp(-0.010))
    assert found.coverage == pytest.approx(0.961, abs=5e-4)


@settings(max_examples=50)
@given(st.lists(st.integers(-300, 300), min_size=6, max_size=14, unique=True), st.integers(-300, 300))
def test_the_interval_holds_what_scipys_signed_rank_test_does_not_refuse(hundredths: list[int], middle: int) -> None:
    # The test knows no ties and no zeros, and a centre at a quarter of a step makes none.
    logs, centre = [number / 100 for number in hundredths], (middle + 0.25) / 100
    found = paired_ratio([math.exp(log) for log in logs], [1.0] * len(logs))
    assert found.low is not None
    assert found.high is not None
    p_value = stats.wilcoxon([log - centre for log in logs], method="exact").pvalue
    assert (found.low <= math.exp(centre) <= found.high) == (p_value > 0.05)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=20))
def test_a_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*pairs, strict=True)
    there, back = paired_ratio(ours, theirs), paired_ratio(theirs, ours)
    assert there.value is not None
    assert back.value is not None
    assert there.value * back.value == pytest.approx(1)
    if there.low is not None:
        assert back.high is not None
        assert there.low * back.high == pytest.approx(1)


def test_luck_shared_by_a_round_cancels_in_its_ratio() -> None:
    luck = [1.0, 3.0, 0.5, 2.0, 1.7, 0.9]
    found = paired_ratio([2 * each for each in luck], luck)
    assert (found.low, found.value, found.high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))


def test_one_bad_round_moves_the_estimate_little() -> None:
    assert paired_ratio(*in_rounds(1.98, 1.99, 2.0, 2.01, 2.02, 2.0, 2.0, 50.0)).value == pytest.approx(2, rel=0.02)


def test_five_rounds_give_a_ratio_and_say_why_no_interval() -> None:
    found = paired_ratio(*in_rounds(2, 2, 2, 2, 2))
    assert (found.value, found.low, found.high) == (pytest.approx(2), None, None)
    assert found.reason == "95% need 6 rounds, there are 5"


def test_no_rounds_give_no_ratio() -> None:
    assert paired_ratio([], []).reason == "no round has both"


def test_one_round_censored_in_the_value_opens_the_upper_end() -> None:
    found = paired_ratio(*in_rounds(2, 2, 2, 2, 2, INF))
    assert (found.low, found.value, found.high) == (pytest.approx(2), pytest.approx(2), INF)


def test_one_round_censored_in_the_base_opens_the_lower_end() -> None:
    found = paired_ratio(*in_rounds(2, 2, 2, 2, 2, 0))
    assert (found.low, found.value, found.high) == (0, pytest.approx(2), pytest.approx(2))


def test_enough_rounds_censored_in_the_value_make_the_estimate_infinite() -> None:
    found = paired_ratio(*in_rounds(2, 2, 2, 2, INF, INF))
    assert (found.low, found.value, found.high) == (pytest.approx(2), INF, INF)


def test_two_opposite_censored_rounds_widen_the_interval_on_both_sides() -> None:
    found = paired_ratio(*in_rounds(0, 2, 2, 2, 2, 2, 2, INF))
    assert (found.low, found.value, found.high) == (0, pytest.approx(2), INF)


@pytest.mark.parametrize("ratios", [(0, INF), (0, 0, 0, INF, INF, INF), (0, 0, 2, INF, INF)])
def test_when_the_middle_depends_on_opposite_censored_rounds_there_is_no_ratio(ratios: tuple[float, ...]) -> None:
    found = paired_ratio(*in_rounds(*ratios))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.reason == "rounds censored on opposite sides leave the middle ratio open"


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.1, 3.0, INF]), min_size=6, max_size=12),
    st.lists(st.floats(30, 300), min_size=12, max_size=12),
)
def test_no_delay_behind_the_censoring_lies_outside_of_what_is_said(ratios: list[float], hidden: list[float]) -> None:
    said = paired_ratio(*in_rounds(*ratios))
    assume(said.low is not None)
    logs = [
        {0.0: -log, INF: log}.get(ratio, math.log(ratio) if 0 < ratio < INF else log)
        for ratio, log in zip(ratios, hidden, strict=False)
    ]
    true = paired_ratio([math.exp(log) for log in logs], [1.0] * len(logs))
    assert said.low is not None
    assert said.high is not None
    assert true.low is not None
    assert true.high is not None
    rounding = 1 + 1e-9
    assert said.low <= true.low * rounding or true.low > math.exp(10)  # said to be infinite, and it is enormous
    assert said.high * rounding >= true.high or true.high < math.exp(-10)


def test_a_round_censored_in_both_leaves_no_ratio_rather_than_a_flattering_one() -> None:
    found = paired_ratio([1, INF], [1, INF])
    assert found.value is None
    assert found.reason == "1 of 2 rounds are censored in both, or zero in both"


@pytest.mark.parametrize("wrong", [-1.0, math.nan])
def test_a_number_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        log_ratios([wrong], [1.0])


NOISE: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda draw: draw.gauss(0, 0.05),
    "double exponential": lambda draw: draw.expovariate(20) - draw.expovariate(20),
    "Cauchy, cut at e^50": lambda draw: max(-50, min(50, 0.05 * math.tan(math.pi * (draw.random() - 0.5)))),
}


@pytest.mark.parametrize("n", [6, 8, 12])
@pytest.mark.parametrize("noise", NOISE)
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(noise: str, n: int) -> None:
    draw, trials, held = random.Random(f"{noise}{n}"), 3000, 0
    coverage = find_signed_rank_bound(n)[1]
    for _ in range(trials):
        luck = [draw.lognormvariate(0, 0.3) for _ in range(n)]
        found = paired_ratio([1.25 * each * math.exp(NOISE[noise](draw)) for each in luck], luck)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.25 <= found.high
    assert 0.95 <= coverage <= 0.97
    assert held / trials == pytest.approx(coverage, abs=0.012)
