"""Tests which caveat of many is told."""

from typing import Any

from bench.results.caveats import group_caveats


def entry(name: str, trial: str | None, size: float | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "text": f"{name} of {trial}", "next_step": "rest", "trial": trial, "size": size, **more}


def test_of_many_the_worst_is_told_with_their_number() -> None:
    (group,) = group_caveats([entry("steal", "1", 0.03), entry("steal", "2", 0.4), entry("steal", "3", 0.1)])
    assert (group.worst.text, group.trials) == ("steal of 2", ("1", "2", "3"))
    assert group.count_text == "the worst of 3 trials"


def test_of_an_older_run_which_does_not_say_how_bad_each_is_the_first_is_told() -> None:
    old = [{key: value for key, value in entry("steal", trial, None).items() if key != "size"} for trial in "12"]
    (group,) = group_caveats(old)
    assert (group.worst.text, group.count_text) == ("steal of 1", "the first of 2 trials")


def test_groups_come_in_the_order_of_their_first_caveat_and_one_of_the_run_has_no_trial() -> None:
    groups = group_caveats([entry("b", None, None), entry("a", "1", 1.0), entry("b", None, None)])
    assert [(group.worst.name, group.trials, group.count_text) for group in groups] == [
        ("b", (), ""),
        ("a", ("1",), ""),
    ]
