"""The self-test of the judge: the judge is right, and each fault in it is found."""

import pytest

from bench.regress.selftest import FAULTS, check_judge, find_errors, judge


def test_the_judge_is_right_about_every_known_case() -> None:
    assert find_errors(judge) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_judge_is_found(fault: str) -> None:
    assert find_errors(FAULTS[fault])


def test_a_judge_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_judge() == []
    monkeypatch.setitem(FAULTS, "none at all", judge)
    assert len(check_judge()) == 1
