"""Tests the plan of a run of duels, on made-up sets and a clock of its own."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import Unmeasured
from bench.regress import duel_schedule
from bench.regress.duel_schedule import (
    CONTROL_EVERY,
    LOADED_FROM_S,
    MIN_SCREEN,
    DuelPlace,
    DuelPlayer,
    Duels,
    list_screen,
    plan_screen,
)
from bench.regress.duel_set import DuelMethod, DuelSet
from bench.regress.judge import Threshold
from bench.regress.judge_sets import MIN_SETS
from bench.regress.replays import ArmTree
from tests.conftest import refuses
from tests.unit.regress.test_set_rows import BASE, build_arm, build_set
from transports.registry import load_transport

ARMS = (
    ArmTree(arm="base", tree=Path("base"), python=Path("python")),
    ArmTree(arm="head", tree=Path("head"), python=Path("python")),
)
THRESHOLDS = {"rest": {"finish_p50_us": Threshold(share=0.04)}, "grpc": {"finish_p50_us": Threshold(share=0.04)}}
Play = Callable[[str, int, bool], DuelSet]
"""Plays a set of a method: its number, and whether both arms are BASE."""


class Machine:
    """Plays made-up sets of ten seconds each, and notes which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, play: Play) -> None:
        self.now_s = 0.0
        self.sets: list[tuple[str, bool, bool]] = []
        """Of each set its method, whether it is a control, and whether it has load."""

        async def play_set(arms: tuple[ArmTree, ArmTree], method: DuelMethod, **_: Any) -> DuelSet:
            self.now_s += 10.0
            is_control = arms[0] is arms[1]
            self.sets.append((method.name, is_control, method.load_per_s > 0))
            return play(method.name, len(self.sets), is_control)

        monkeypatch.setattr(duel_schedule, "play_set", play_set)

    async def run(self, budget_s: float, methods: tuple[str, ...] = ("rest", "grpc")) -> Duels:
        chosen = {name: DuelMethod(name=name, kind=load_transport(name), load_per_s=100) for name in methods}
        place = DuelPlace(id="fw-test", orders=Path("orders"), folder=Path("run"), logs=Path("logs"), seed=1)
        player = DuelPlayer(ARMS, chosen, place, lambda _: None, lambda _: None, clock=lambda: self.now_s)
        return await player.play({name: THRESHOLDS[name] for name in methods}, budget_s)


def scatter(number: int, factor: float = 1.0, background_cores: float = 0.0) -> DuelSet:
    """A set whose ratio differs a little from that of the next one."""
    head = [one * factor * (1 + 0.01 * (number % 3 - 1)) for one in BASE]
    return build_set(build_arm(BASE), build_arm(head), background_cores)


async def test_equal_revisions_have_a_screen_with_controls_and_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda method, number, control: scatter(number))
    played = await machine.run(600.0)
    kinds = Counter(row.kind for row in played.rows if row.metric == "finish_p50_us")
    assert kinds["confirm"] == 0 and kinds["control"] >= 2
    assert kinds["screen"] >= 2 * MIN_SETS
    assert {control for _, control, _ in machine.sets} == {True, False}
    assert machine.now_s < 600 and not any(loaded for *_, loaded in machine.sets)


async def test_what_is_suspicious_is_played_again_until_the_budget_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(method: str, number: int, control: bool) -> DuelSet:
        return scatter(number, 1.2 if method == "grpc" and not control else 1.0)

    machine = Machine(monkeypatch, play)
    played = await machine.run(600.0)
    again = Counter(row.method for row in played.rows if row.kind == "confirm" and row.metric == "finish_p50_us")
    assert set(again) == {"grpc"} and again["grpc"] >= MIN_SETS
    assert 590 <= machine.now_s <= 620


async def test_a_disturbed_set_is_played_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda method, number, control: scatter(number, background_cores=float(number == 3)))
    played = await machine.run(600.0)
    void = {row.set for row in played.rows if row.void}
    assert void == {3}
    assert machine.sets[2][0] == machine.sets[3][0]


async def test_a_machine_that_is_always_busy_ends_the_repeating(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda method, number, control: scatter(number, background_cores=1.0))
    await machine.run(600.0)
    assert machine.now_s <= 620


async def test_an_arm_that_cannot_be_played_leaves_its_method_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(method: str, number: int, control: bool) -> DuelSet:
        if method == "grpc":
            raise Unmeasured("grpc: it does not start", code="arm-failed")
        return scatter(number)

    machine = Machine(monkeypatch, play)
    played = await machine.run(600.0)
    assert list(played.unmeasured) == ["grpc"]
    assert [method for method, *_ in machine.sets].count("grpc") == 1
    assert {row.method for row in played.rows} == {"rest"}


async def test_a_trouble_of_the_head_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(method: str, number: int, control: bool) -> DuelSet:
        return build_set(build_arm(BASE), build_arm(BASE, failed=0 if control else 1, failures={"Failed": 1}))

    played = await Machine(monkeypatch, play).run(600.0, ("rest",))
    assert list(played.troubles["rest"]) == ["head"]


async def test_a_long_budget_has_sets_with_load(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda method, number, control: scatter(number))
    await machine.run(LOADED_FROM_S, ("rest",))
    assert {loaded for *_, loaded in machine.sets} == {True, False}


def test_a_budget_that_is_too_small_is_refused() -> None:
    with refuses("budget-too-small"):
        plan_screen(120.0, 4)
    assert plan_screen(600.0, 4) >= MIN_SCREEN


def test_a_screen_has_each_method_once_in_a_round_and_every_sixth_is_a_control() -> None:
    listed = list(list_screen(["rest", "grpc"], 12, seed=1))
    assert all({method for method, *_ in listed[at : at + 2]} == {"rest", "grpc"} for at in range(0, 24, 2))
    assert {number for _, number, kind in listed if kind == "control"} == {
        CONTROL_EVERY // 2,
        CONTROL_EVERY // 2 + CONTROL_EVERY,
    }
    assert [method for method, *_ in listed[::2]] != ["rest"] * 12
