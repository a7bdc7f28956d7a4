"""What the judge says of counts."""

import pytest

from bench.regress.judge import Damaged, Finding, Observation, Threshold, Word, find_suspicious, judge_counts
from tests.unit.regress.counts import CELL, THRESHOLD, build_counts, build_one, replace_value

THRESHOLDS = {CELL: {"calls": THRESHOLD}}
"""2 % of 1,000 is 20."""


def judge_one(counts: list[Observation], threshold: Threshold = THRESHOLD) -> Finding:
    (found,) = judge_counts({CELL: {"calls": threshold}}, counts)
    return found


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({0: 0.0}, Word.PASS),
        ({0: 19.9}, Word.PASS),
        ({0: 20.0, 1: 25.0, 2: 21.0}, Word.FAIL),
        ({0: 20.0, 1: 25.0, 2: 19.0}, Word.SUSPECT),
        ({0: 19.0, 1: 20.0, 2: 0.0}, Word.SUSPECT),
        ({0: 25.0}, Word.SUSPECT),
        ({0: 15.0, 1: 15.0, 2: 15.0}, Word.PASS),
        ({0: -20.0, 1: -25.0, 2: -21.0}, Word.IMPROVED),
        ({0: -20.0, 1: -25.0, 2: 0.0}, Word.PASS),
    ],
)
def test_a_change_is_one_if_it_reaches_the_threshold_with_every_seed(changes: dict[int, float], word: Word) -> None:
    assert judge_one(build_counts(changes)).word is word


@pytest.mark.parametrize(("base", "word"), [(100.0, Word.PASS), (10_000.0, Word.PASS), (150.0, Word.FAIL)])
def test_a_change_has_to_reach_the_share_and_the_floor(base: float, word: Word) -> None:
    changes = dict.fromkeys((0, 1, 2), 4.0 if base == 100.0 else 5.0)
    assert judge_one(build_counts(changes, base=base)).word is word


def test_a_threshold_without_a_share_is_a_floor_alone() -> None:
    changes = dict.fromkeys((0, 1, 2), 1.0)
    assert judge_one(build_counts(changes, base=0.0), Threshold(least=1.0)).word is Word.FAIL
    assert judge_one(build_counts(changes, base=1e9), Threshold(least=1.0)).word is Word.FAIL


def test_the_change_that_is_told_is_the_one_nearest_to_none() -> None:
    found = judge_one(build_counts({0: 30.0, 1: 25.0, 2: 40.0}))
    assert found.change == pytest.approx(0.025)
    assert found.changes == (30.0, 25.0, 40.0)
    assert found.fails_from == pytest.approx(0.02)


@pytest.mark.parametrize(("lowest", "values"), [(False, (11.0, 11.0)), (True, (10.0, 0.0))])
def test_a_value_is_the_median_of_its_pieces_or_the_lowest(lowest: bool, values: tuple[float, float]) -> None:
    integrity = [one for one in build_counts({0: 0.0}) if one.metric != "calls"]
    pieces = [
        build_one("calls", arm, value, piece=piece)
        for arm, values in (("base", (10.0, 900.0, 11.0)), ("head", (11.0, 12.0, 0.0)))
        for piece, value in enumerate(values)
    ]
    found = judge_one([*integrity, *pieces], Threshold(share=0.02, least=5.0, lowest=lowest))
    assert (found.base, found.head) == values


@pytest.mark.parametrize("metric", ["unfinished", "unexpected"])
def test_a_head_that_loses_orders_fails_whatever_it_takes(metric: str) -> None:
    lost, count = judge_counts(THRESHOLDS, replace_value(build_counts({0: 0.0}), metric, "head", 1.0))
    assert (lost.word, lost.metric) == (Word.FAIL, "orders lost")
    assert count.word is Word.PASS


@pytest.mark.parametrize("heads_too", [False, True])
def test_of_a_base_that_loses_orders_nothing_is_measured(heads_too: bool) -> None:
    counts = replace_value(build_counts({0: 100.0, 1: 100.0, 2: 100.0}), "unfinished", "base", 2.0)
    if heads_too:
        counts = replace_value(counts, "unfinished", "head", 2.0)
    assert {found.word for found in judge_counts(THRESHOLDS, counts)} == {Word.NOT_MEASURED}


@pytest.mark.parametrize("metric", ["outcomes", "books"])
def test_arms_that_decide_otherwise_fail(metric: str) -> None:
    found, _ = judge_counts(THRESHOLDS, replace_value(build_counts({0: 0.0}), metric, "head", 5.0))
    assert (found.word, found.metric) == (Word.FAIL, metric)


@pytest.mark.parametrize("lacking", ["calls", "unfinished", "books"])
def test_counts_without_a_metric_are_damaged(lacking: str) -> None:
    with pytest.raises(Damaged):
        judge_counts(THRESHOLDS, [one for one in build_counts({0: 0.0}) if one.metric != lacking])


def test_counts_of_one_arm_are_damaged() -> None:
    with pytest.raises(Damaged):
        judge_counts(THRESHOLDS, [one for one in build_counts({0: 0.0}) if one.arm == "base"])


def test_counts_in_which_an_arm_lacks_a_piece_are_damaged() -> None:
    with pytest.raises(Damaged):
        judge_counts(THRESHOLDS, [*build_counts({0: 0.0}), build_one("calls", "base", 1000.0, piece=1)])


@pytest.mark.parametrize(
    ("change", "suspicious"), [(0.0, False), (9.9, False), (10.0, True), (-9.9, False), (-10.0, True)]
)
def test_half_of_the_threshold_is_suspicious(change: float, suspicious: bool) -> None:
    assert bool(find_suspicious(THRESHOLDS, build_counts({0: change}))) is suspicious


def test_what_has_no_threshold_is_never_suspicious() -> None:
    assert not find_suspicious({CELL: {}}, build_counts({0: 500.0}))
