"""Tests how a run in sets is chosen, and what is refused before its first slice."""

import pytest

from bench.errors import OperationFailed
from bench.profile.arms import Arm, group_arms
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.runner.capacity import choose_plan
from bench.runner.eta import forecast_set_s
from bench.runner.runner import ROUNDS_PLAN
from bench.runner.sets import SETS_PLAN, check_memory, choose_rounds_plan
from bench.runner.web import check_web_profile
from bench.trial.set_trial import SetTimes
from tests.conftest import refuses


def some_arms(**settings: str) -> list[Arm]:
    return group_arms(
        expand_cells(
            load_profile(settings={"TRANSPORT": "rest,grpc", "SLICE": "500ms", "YARDSTICK": "none", **settings})
        )
    )


def test_a_profile_with_a_slice_is_played_in_sets() -> None:
    assert choose_rounds_plan(load_profile()) is ROUNDS_PLAN
    assert choose_rounds_plan(load_profile(settings={"SLICE": "500ms"})) is SETS_PLAN


def test_more_arms_than_memory_holds_are_refused_with_what_to_leave_out() -> None:
    arms = some_arms()
    check_memory(arms, 1000)
    with refuses("arms-over-memory", "grpc+json", "SLICE=0", kind=OperationFailed):
        check_memory(arms, 500)


def test_each_process_of_a_service_takes_memory() -> None:
    with refuses("arms-over-memory", kind=OperationFailed):
        check_memory(some_arms(PROCESSES="4"), 1000)


def test_a_study_and_the_page_take_no_slices() -> None:
    with refuses("study-in-slices", "SLICE"):
        choose_plan(load_profile(settings={"SLICE": "500ms"}))
    with refuses("web-in-slices", "SLICE"):
        check_web_profile(load_profile(settings={"TRANSPORT": "rest", "SLICE": "500ms"}))


def test_a_study_of_a_method_against_itself_is_played_like_a_bench() -> None:
    assert choose_plan(load_profile("aa")) is ROUNDS_PLAN
    assert choose_plan(load_profile("aa", {"SLICE": "500ms"})) is SETS_PLAN


def test_a_set_is_forecast_by_its_slices() -> None:
    few, many = (
        forecast_set_s(expand_cells(load_profile(settings={"SLICE": "500ms", "SLICES": count})))
        for count in ("6", "12")
    )
    assert few[0] == many[0] > 0
    assert many[1] - few[1] == pytest.approx(6 * 6 * 0.64)


def test_the_times_of_a_set_are_one_line() -> None:
    said = SetTimes(start_s=2.0, warm_up_s=2.5, slices_s=30.0, gaps_s=1.25, end_s=0.75, idle_cores=0.071).format()
    assert said == (
        "36.5 s: start 2.0, warm-up 2.5, slices 30.0, gaps 1.2, audit and end 0.8; arms that waited used 0.07 cores"
    )
