"""The verdict: its exit code, its sentence, and what it leaves out."""

import xml.etree.ElementTree as ET

import pytest

from bench.errors import ExitCode
from bench.regress.judge import Observation, Word
from bench.regress.judge_sets import Timed
from bench.regress.outputs import render_junit
from bench.regress.verdict import LeftOut, Plan, build_verdict
from tests.unit.regress.counts import CELL, build_counts, build_plan, replace_value

OVER = dict.fromkeys((0, 1, 2), 100.0)
VALGRIND = LeftOut(cell=CELL, metric="instructions", word=Word.INCONCLUSIVE, why="valgrind is missing")
NO_BYTES = LeftOut(cell=CELL, metric="bytes_sent", word=Word.NOT_MEASURED, why="nothing is sent")
LOSES = replace_value(build_counts({0: 0.0}), "unfinished", "base", 1.0)


@pytest.mark.parametrize(
    ("plan", "counts", "code"),
    [
        (build_plan(), build_counts({0: 0.0}), ExitCode.OK),
        (build_plan(), build_counts(OVER), ExitCode.REGRESSION),
        (build_plan(strict=True), build_counts(OVER), ExitCode.REGRESSION),
        (build_plan(), build_counts({0: 100.0}), ExitCode.OK),
        (build_plan(strict=True), build_counts({0: 100.0}), ExitCode.INCONCLUSIVE),
        (build_plan(left_out=(VALGRIND,)), build_counts({0: 0.0}), ExitCode.OK),
        (build_plan(left_out=(VALGRIND,), strict=True), build_counts({0: 0.0}), ExitCode.INCONCLUSIVE),
        (build_plan(left_out=(NO_BYTES,), strict=True), build_counts({0: 0.0}), ExitCode.OK),
        (build_plan(unmeasured={"grpc": "it does not run"}), build_counts({0: 0.0}), ExitCode.UNMEASURED),
        (build_plan(unmeasured={"grpc": "it does not run"}), build_counts(OVER), ExitCode.REGRESSION),
        (build_plan(thresholds={}), [], ExitCode.UNMEASURED),
        (build_plan(), [], ExitCode.UNMEASURED),
        (build_plan(), LOSES, ExitCode.UNMEASURED),
    ],
)
def test_the_exit_code_follows_from_the_gravest_finding(plan: Plan, counts: list[Observation], code: ExitCode) -> None:
    assert build_verdict(plan, counts).exit_code == code


@pytest.mark.parametrize("strict", [False, True])
def test_what_was_not_counted_is_named_and_no_pass(strict: bool) -> None:
    verdict = build_verdict(build_plan(left_out=(VALGRIND,), strict=strict), build_counts({0: 0.0}))
    assert "instructions" in verdict.sentence
    assert VALGRIND.why in verdict.sentence
    assert [one.metric for one in verdict.with_word(Word.INCONCLUSIVE)] == ["instructions"]
    assert verdict.count(Word.PASS) == 1


def test_the_sentence_names_the_cell_the_metric_and_the_change() -> None:
    sentence = build_verdict(build_plan(), build_counts(OVER)).sentence
    assert {"rest", "calls", "+10.0%"} <= set(sentence.replace(",", " ").split())


def test_arms_exchanged_turn_a_regression_into_an_improvement() -> None:
    verdict = build_verdict(build_plan(), build_counts(dict.fromkeys((0, 1, 2), -100.0)))
    assert verdict.exit_code == ExitCode.OK
    assert verdict.count(Word.IMPROVED) == 1


def test_nothing_is_said_of_damaged_counts() -> None:
    assert build_verdict(build_plan(), []).findings == ()


def test_duels_that_were_stopped_are_not_compared_and_no_reader_takes_them_for_a_pass() -> None:
    plan = build_plan(timed=Timed(budget_s=600.0, thresholds={}))
    verdict = build_verdict(plan, build_counts({0: 0.0}))
    assert (verdict.exit_code, len(verdict.unfit)) == (ExitCode.UNMEASURED, 1)
    (times,) = ET.fromstring(render_junit(verdict)).findall("testsuite[@name='times']")
    assert times.get("errors") == "1"
    whole = build_verdict(build_plan(timed=Timed(budget_s=600.0, thresholds={}, rows=0)), build_counts({0: 0.0}))
    assert whole.exit_code == ExitCode.OK
