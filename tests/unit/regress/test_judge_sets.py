"""Tests what is said of the sets of a duel, on made-up sets with a known change."""

import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bench.regress.judge import Finding, Threshold, Word
from bench.regress.judge_sets import (
    UNFINISHED,
    SetKind,
    SetRow,
    Timed,
    find_moved_controls,
    find_suspicious_sets,
    judge_sets,
    judge_timed,
    measure_void_share,
)

P50 = {"rest": {"finish_p50_us": Threshold(share=0.04, least=100)}}


def build_sets(
    change: float,
    kind: SetKind = "screen",
    *,
    sets: int = 10,
    sd: float = 0.02,
    seed: int = 1,
    base: float = 5000,
    void: bool = False,
    metric: str = "finish_p50_us",
) -> list[SetRow]:
    """Sets whose logarithms have exactly this mean and standard deviation."""
    dice = random.Random(f"{kind}{seed}")
    drawn = [dice.gauss(0, 1) for _ in range(sets)]
    middle = sum(drawn) / sets
    spread = math.sqrt(sum((one - middle) ** 2 for one in drawn) / (sets - 1)) if sets > 1 else 1.0
    logs = [math.log1p(change) + sd * (one - middle) / spread for one in drawn]
    return [
        SetRow(
            method="rest",
            set=number,
            kind=kind,
            void=void,
            background_cores=0.0,
            metric=metric,
            base=base,
            head=base * math.exp(log),
            ratio=math.exp(log),
        )
        for number, log in enumerate(logs, 1)
    ]


def judge(*parts: list[SetRow]) -> Finding:
    (finding,) = judge_sets(P50, [row for part in parts for row in part])
    return finding


def test_no_change_passes_with_its_interval_and_the_smallest_that_could_be_seen() -> None:
    finding = judge(build_sets(0.0))
    assert finding.word is Word.PASS
    assert finding.change == pytest.approx(0, abs=1e-12)
    assert finding.low is not None and finding.high is not None and finding.fails_from is not None
    # t at 97.5 % with 9 degrees of freedom; what could be seen is less than the threshold, from which it fails.
    assert math.log1p(finding.high) == pytest.approx(2.2622 * 0.02 / math.sqrt(10), rel=1e-3)
    assert finding.fails_from == pytest.approx(0.04)
    noisy = judge(build_sets(0.0, sd=0.05))
    assert noisy.fails_from is not None
    assert math.log1p(noisy.fails_from) == pytest.approx(2 * 1.8331 * 0.05 / math.sqrt(10), rel=1e-3)


def test_a_change_that_fresh_sets_confirm_fails() -> None:
    finding = judge(build_sets(0.10), build_sets(0.09, "confirm"))
    assert finding.word is Word.FAIL
    assert finding.change == pytest.approx(0.09)


def test_a_change_that_nothing_confirms_is_suspect() -> None:
    assert judge(build_sets(0.10)).word is Word.SUSPECT


def test_fresh_sets_clear_what_was_chance() -> None:
    finding = judge(build_sets(0.10), build_sets(0.0, "confirm"))
    assert (finding.word, finding.change) == (Word.PASS, pytest.approx(0, abs=1e-12))


def test_fresh_sets_that_may_hide_the_threshold_clear_nothing() -> None:
    assert judge(build_sets(0.10), build_sets(0.08, "confirm", sets=4, sd=0.09)).word is Word.SUSPECT
    assert judge(build_sets(0.10), build_sets(0.0, "confirm", sets=3, sd=0.001)).word is Word.SUSPECT


def test_a_change_that_is_surely_below_the_threshold_is_cleared() -> None:
    assert judge(build_sets(0.03), build_sets(0.03, "confirm", sd=0.005)).word is Word.PASS
    assert judge(build_sets(0.03), build_sets(0.03, "confirm", sd=0.04)).word is Word.SUSPECT


def test_a_change_of_less_than_the_absolute_floor_does_not_fail() -> None:
    assert judge(build_sets(0.10, base=500), build_sets(0.10, "confirm", base=500)).word is Word.SUSPECT
    assert judge(build_sets(0.10, base=1500), build_sets(0.10, "confirm", base=1500)).word is Word.FAIL


def test_less_time_is_an_improvement_and_no_failure() -> None:
    assert judge(build_sets(-0.10)).word is Word.IMPROVED


def test_noise_that_hides_twice_the_threshold_is_inconclusive() -> None:
    assert judge(build_sets(0.0, sd=0.08)).word is Word.INCONCLUSIVE


@pytest.mark.parametrize("rows", [[], build_sets(0.0, sets=3), build_sets(0.0, void=True)])
def test_too_few_whole_sets_are_inconclusive(rows: list[SetRow]) -> None:
    assert judge(rows).word is Word.INCONCLUSIVE


def test_void_sets_are_left_out_and_their_share_is_told() -> None:
    disturbed = build_sets(0.5, sets=5, void=True, seed=2)
    renumbered = [msgspec.structs.replace(row, set=row.set + 100) for row in disturbed]
    assert judge(build_sets(0.0), renumbered).word is Word.PASS
    assert measure_void_share([*build_sets(0.0), *renumbered]) == pytest.approx(1 / 3)
    assert measure_void_share([]) == 0


def test_controls_that_move_are_told_and_those_that_do_not_are_not() -> None:
    screen = build_sets(0.0, sd=0.01)
    assert find_moved_controls(P50, [*screen, *build_sets(0.0, "control", sets=2, sd=0.01)]) == []
    assert len(find_moved_controls(P50, [*screen, *build_sets(0.10, "control", sets=2, sd=0.01)])) == 1
    # By as much as chance brings with this scatter.
    noisy = build_sets(0.0, sd=0.10)
    assert find_moved_controls(P50, [*noisy, *build_sets(0.10, "control", sets=2, sd=0.01)]) == []


def _play_aa(seed: int, sd: float) -> Iterator[SetRow]:
    dice = random.Random(seed)
    for kind, sets in (("screen", 10), ("confirm", 16)):
        for number in range(sets):
            (row,) = build_sets(math.expm1(dice.gauss(0, sd)), "screen", sets=1)
            yield msgspec.structs.replace(row, kind=kind, set=number)


def test_equal_revisions_hardly_ever_fail() -> None:
    """With more noise than the threshold: chance brings 10 % on the screen often, and a confirmation of it rarely."""
    failed = sum(judge(list(_play_aa(seed, 0.05))).word is Word.FAIL for seed in range(300))
    assert failed == 0


def test_what_is_suspicious_is_named_the_most_improbable_first() -> None:
    two = {"rest": {**P50["rest"], "cpu_us_services": Threshold(share=0.03, least=20)}}
    rows = [*build_sets(0.06), *build_sets(0.20, metric="cpu_us_services")]
    assert find_suspicious_sets(two, rows) == [("rest", "cpu_us_services"), ("rest", "finish_p50_us")]
    assert find_suspicious_sets(two, build_sets(-0.2)) == []


def build_timed(known: list[SetRow], **changes: Any) -> Timed:
    return Timed(**{"budget_s": 600.0, "thresholds": P50, "rows": len(known), **changes})


def test_orders_come_before_times_and_a_base_that_loses_them_says_nothing() -> None:
    rows = build_sets(0.0)
    found, unfit = judge_timed(build_timed(rows, troubles={"rest": {"head": "1 order failed"}}), rows)
    assert (found[0].word, found[0].metric, unfit) == (Word.FAIL, "orders in turns", [])
    found, unfit = judge_timed(build_timed(rows, troubles={"rest": {"base": "1 order failed"}}), rows)
    assert (found, len(unfit)) == ([], 1)


def test_a_method_that_could_not_be_timed_hides_no_other_ones_failure() -> None:
    rows = [*build_sets(0.10), *build_sets(0.10, "confirm")]
    found, unfit = judge_timed(build_timed(rows, unmeasured={"events": "it does not start"}), rows)
    assert ([one.word for one in found], len(unfit)) == ([Word.FAIL], 1)


@pytest.mark.parametrize("rows", [UNFINISHED, 9, 11])
def test_sets_that_are_not_whole_say_nothing(rows: int) -> None:
    known = build_sets(0.0)
    found, unfit = judge_timed(build_timed(known, rows=rows), known)
    assert (found, len(unfit)) == ([], 1)
