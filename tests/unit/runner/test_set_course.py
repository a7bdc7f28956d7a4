"""Tests when a run in sets is over, what it says, and the bank that it takes and keeps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.profile.loader import load_profile, restore_profile
from bench.profile.schema import Profile
from bench.results import banks
from bench.results.banks import find_bank
from bench.results.store import RunFolder
from bench.runner.set_course import SetCourse, estimate_headline_ratios
from bench.stats.sets import half_width
from tests.conftest import refuses
from tests.unit.builders import CELLS, add_set, build_set_run

TWO = {name: CELLS[name] for name in ("rest", "grpc")}
SLICE = {"TRANSPORT": "rest,grpc", "SLICE": "500ms"}


@pytest.fixture(autouse=True)
def no_kept_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banks, "KEPT", tmp_path / "no-bank.json")


class Course:
    """A course of sets that take ``set_s`` each, on a clock of its own."""

    def __init__(self, run: RunFolder, home: Path, profile: Profile, set_s: float = 20.0, **noise: Any) -> None:
        self.run, self.set_s, self.noise = run, set_s, noise
        self.now_s = 0.0
        self.said: list[str] = []
        self.course = SetCourse(run, profile, self.said.append, home, clock=lambda: self.now_s)

    def play(self, expected: list[int] | None = None) -> list[int]:
        return list(self._play(expected or []))

    def _play(self, expected: list[int]) -> Iterator[int]:
        for set_ in self.course.list_sets(expected):
            self.now_s += self.set_s
            add_set(self.run, set_, TWO, **self.noise)
            self.course.note_set(set_)
            yield set_
        self.course.end()


def start(tmp_path: Path, sets: int = 0, settings: dict[str, str] | None = None, **changes: Any) -> Course:
    run = build_set_run(tmp_path / "results", sets=sets, cells=TWO)
    return Course(run, tmp_path, load_profile(settings={**SLICE, **(settings or {})}), **changes)


def test_without_rounds_sets_go_on_until_they_are_told() -> None:
    profile = load_profile(settings=SLICE)
    assert (profile.until_told, profile.rounds, profile.tell, profile.within_s) == (True, 4, 0.05, 180)
    typed = load_profile(settings={**SLICE, "TELL": "3%", "WITHIN": "10min"})
    assert (typed.tell, typed.within_s) == (0.03, 600)


def test_rounds_force_the_number_of_sets() -> None:
    profile = load_profile(settings={**SLICE, "ROUNDS": "9"})
    assert (profile.until_told, profile.rounds) == (False, 9)
    assert not load_profile().until_told
    assert not load_profile("aa", {"SLICE": "500ms"}).until_told
    assert load_profile("aa", {"SLICE": "500ms", "WITHIN": "1h"}).until_told


@pytest.mark.parametrize("name", ["TELL", "WITHIN"])
def test_rounds_and_what_ends_them_are_refused_together(name: str) -> None:
    with refuses("tell-with-rounds", name):
        load_profile(settings={**SLICE, "ROUNDS": "9", name: "1"})
    with refuses("setting-of-slices", name):
        load_profile(settings={name: "1"})


def test_a_run_that_goes_on_with_rounds_ends_with_them() -> None:
    manifest = msgspec.to_builtins(load_profile(settings=SLICE))
    assert restore_profile(manifest).until_told
    again = restore_profile(manifest, "12")
    assert (again.until_told, again.rounds) == (False, 12)


def test_a_quiet_run_is_told_after_four_sets(tmp_path: Path) -> None:
    course = start(tmp_path, between=0.002, within=0.005)
    assert course.play() == [1, 2, 3, 4]
    assert course.run.manifest["ended"].startswith("ended after 4 sets")
    assert course.said[-1] == course.run.manifest["ended"]


def test_a_noisy_run_ends_with_its_time_and_says_so(tmp_path: Path) -> None:
    course = start(tmp_path, between=0.3)
    assert course.play() == list(range(1, 10))
    assert course.now_s == 180
    assert "after 9 sets, when WITHIN (180 s) was over" in course.run.manifest["ended"]


def test_four_sets_are_played_however_short_the_time(tmp_path: Path) -> None:
    assert start(tmp_path, settings={"WITHIN": "10s"}, between=0.3).play() == [1, 2, 3, 4]


def test_a_run_that_is_told_plays_no_more(tmp_path: Path) -> None:
    course = start(tmp_path, sets=5, settings={"TELL": "100%"})
    assert course.play() == []


def test_a_resumed_run_plays_what_it_lacks(tmp_path: Path) -> None:
    course = start(tmp_path, sets=2, settings={"TELL": "50%"})
    assert course.course.expect_sets(40) == [3, 4, 5, 6]
    assert course.play() == [3, 4]


def test_forced_sets_are_those_that_are_expected(tmp_path: Path) -> None:
    course = start(tmp_path, sets=1, settings={"ROUNDS": "3"})
    expected = course.course.expect_sets(40)
    assert course.play(expected) == [2, 3]
    assert "ended" not in course.run.manifest


def test_a_cell_without_a_ratio_is_not_told(tmp_path: Path) -> None:
    course = start(tmp_path, between=0.002, within=0.005)
    sets = course.course.list_sets([])
    for _ in range(4):
        add_set(course.run, set_ := next(sets), TWO, between=0.002, within=0.005)
        add_set(course.run, set_, {"broker": CELLS["broker"]}, valid=False)
        course.now_s += 20
        course.course.note_set(set_)
    assert next(sets) == 5


def test_each_set_says_the_ratios_and_how_far_the_widest_reaches(tmp_path: Path) -> None:
    course = start(tmp_path, between=0.002, within=0.005)
    course.play()
    told = [line for line in course.said if line.startswith("sets: ")]
    assert len(told) == 4
    assert "no interval yet" in told[2]
    assert "ratio of median completion to rest: grpc 1.0" in told[3]
    assert "either way" in told[3]


def test_without_rest_ratios_are_to_the_first_cell(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=4, cells={name: CELLS[name] for name in ("grpc", "broker", "events")})
    statistics = run.set_statistics()
    assert statistics is not None
    base, ratios = estimate_headline_ratios(statistics)
    assert (base, list(ratios)) == ("grpc", ["broker", "events"])
    assert all(half_width(ratio) < 1 for ratio in ratios.values())


def test_too_few_a_a_sets_leave_no_bank_and_say_so(tmp_path: Path) -> None:
    cells = {f"rest@{arm}": CELLS["rest"] for arm in "ab"}
    run = build_set_run(tmp_path / "aa", sets=7, cells=cells)
    course = Course(run, tmp_path, load_profile("aa", {"SLICE": "500ms", "ROUNDS": "7"}))
    assert course.play() == []
    assert "takes 8 valid ones, there are 7" in course.said[-1]
    assert find_bank(tmp_path) is None


def test_an_a_a_run_leaves_the_machines_own_bank_which_the_next_run_takes(tmp_path: Path) -> None:
    cells = {f"{name}@{arm}": CELLS[name] for name in ("rest", "broker") for arm in "ab"}
    run = build_set_run(tmp_path / "aa", sets=8, cells=cells)
    course = Course(run, tmp_path, load_profile("aa", {"SLICE": "500ms", "ROUNDS": "8"}))
    assert "this run's own" in course.said[0]
    assert course.play() == []
    assert find_bank(tmp_path, tmp_path / "none") is not None
    after = start(tmp_path)
    assert "this machine's own bank of 8 A/A sets" in after.said[0]
    assert after.run.manifest["bank"]["origin"] == "own"
