"""Plays a run in sets: the services of all cells are up at once, and short slices of every cell take turns."""

import time
from collections.abc import Sequence

import psutil

from bench.errors import OperationFailed
from bench.profile.arms import Arm, group_arms
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings, Profile
from bench.profile.slices import SLICE_ORDERS
from bench.results import caveats
from bench.results.rows import SliceRow
from bench.runner.eta import forecast_set_s
from bench.runner.runner import ROUNDS_PLAN, Runner, RunPlan
from bench.runner.set_course import SetCourse
from bench.stats.summary import YARDSTICK_PREFIX
from bench.trial.set_trial import run_set

MIB_PER_ARM = {"rest": 257, "grpc": 189, "broker": 139, "events": 145}
"""What the four services of a method take, or of its bare chain; others are taken for as large as the largest."""


def check_memory(arms: list[Arm], available_mib: float) -> None:
    """Raises OperationFailed for more arms than memory is there for."""
    most_mib = max(MIB_PER_ARM.values())
    needed_mib = [
        MIB_PER_ARM.get(arm.first.transport.removeprefix(YARDSTICK_PREFIX), most_mib) * arm.first.profile.processes
        for arm in arms
    ]
    if sum(needed_mib) > available_mib:
        room = next((n for n in range(len(arms), 0, -1) if sum(needed_mib[:n]) <= available_mib), 0)
        left_out = ", ".join(arm.first.name for arm in arms[room:])
        raise OperationFailed(
            f"{len(arms)} arms at once take some {sum(needed_mib):,} MiB, and {available_mib:,.0f} MiB are available; "
            f"leave out {left_out}, or measure in whole trials with SLICE=0",
            code="arms-over-memory",
        )


async def play_sets(runner: Runner, wanted: list[CellSettings]) -> None:
    """Plays every set that the run lacks; a set of which a cell has no row is played as a whole."""
    profile = runner.profile
    arms = group_arms(wanted)
    check_memory(arms, psutil.virtual_memory().available / 2**20)
    course = SetCourse(runner.kept, profile, runner.say, runner.home)
    if (orders := profile.slice_s * min(cell.rate_per_s for cell in wanted)) < SLICE_ORDERS:
        runner.kept.add_caveats((caveats.short_slices(orders, SLICE_ORDERS),))
    brokers_s, each_s = forecast_set_s(wanted)
    todo = course.expect_sets(each_s)
    forecast = [each_s + (brokers_s if at == 0 else 0.0) for at, _ in enumerate(todo)]
    most = "at the most " if profile.until_told else ""
    runner.say(
        f"{len(wanted)} cells, {len(arms)} {'arm' if len(arms) == 1 else 'arms'}, sets to play: {most}{len(todo)}, "
        f"slices of a cell in each: {profile.slices}; about {sum(forecast) / 60:.1f} min"
    )
    runner.kept.update_manifest(forecast_s=round(sum(forecast), 1))
    begun_s = time.monotonic()
    if brokers_s:
        runner.begins(0, len(todo), "brokers get warm", sum(forecast))
    await runner.warm_up(runner.stage(), [arm.first for arm in arms])
    course.begin()
    for done, set_ in enumerate(course.list_sets(todo)):
        pace = (time.monotonic() - begun_s) / sum(forecast[:done]) if done else 1.0
        runner.begins(done, max(len(todo), done + 1), f"set {set_}", pace * sum(forecast[done:]))
        await _play_set(runner, arms, wanted, set_)
        course.note_set(set_)
    course.end()
    runner.begins(len(todo), len(todo), "done", 0.0)


async def _play_set(runner: Runner, arms: list[Arm], cells: list[CellSettings], set_: int) -> None:
    for arm in arms:
        await runner.restart_dead_brokers(arm.first)
    await runner.warm_up(runner.stage(), [arm.first for arm in arms])
    idle = any(cell.method not in runner.methods_with_facts for cell in cells)
    kept = 0

    def keep(rows: Sequence[SliceRow]) -> None:
        nonlocal kept
        runner.kept.add_slices(rows)
        kept += len(rows)

    try:
        result = await run_set(runner.stage(), runner.locust, arms, cells, set_, keep, idle=idle)
    except BaseException:
        due = len(cells) * runner.profile.slices
        runner.kept.add_caveats((caveats.set_cut(set_, kept, due),))
        raise
    runner.note_speed()
    runner.say(f"set {set_}: {result.times.format()}")
    for cell, measured in result.cells:
        runner.note_cell(cell, measured)
        runner.keep(cell, set_, measured)


def choose_rounds_plan(profile: Profile) -> RunPlan:
    """Returns how a profile without a search is measured: in sets of slices, or in rounds of whole trials."""
    return SETS_PLAN if profile.slice_s else ROUNDS_PLAN


SETS_PLAN = RunPlan("sets", expand_cells, play_sets)
"""Every cell in slices, in each of several sets."""
