"""What `bench` and `study` share: measure with a progress bar, print the tables, judge the run."""

import os
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bench.cli.arguments import Asked
from bench.cli.exits import refusals, run_to_end
from bench.cli.output import print_json, print_run
from bench.cli.servers import install_servers_for, paths_of
from bench.errors import DoubtfulRun, InvalidRun, Regression, UsageError
from bench.profile.loader import restore_profile
from bench.profile.schema import Profile
from bench.results.caveats import NO_COLD_STARTS
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder
from bench.results.thresholds import Limit, check_cells, describe_missed, judge_thresholds, parse_thresholds
from bench.runner import environment
from bench.runner.runner import ROUNDS_PLAN, RunPlan, run_plan


def measure(asked: Asked, profile: Profile | None, choose_plan: Callable[[Profile], RunPlan]) -> None:
    """Measure the profile as the plan says, print its tables, and end with the run's exit code.

    ``profile`` None: that of the run that RESUME= names. Raises UsageError, MissingServer, OperationFailed,
    ResultsError; InvalidRun and DoubtfulRun when all is kept.
    """
    target, resumed = asked.command.name, None
    if profile is None:
        resumed = RunFolder.resume(find_run_folder(str(asked.value("RESUME")), asked.path("RESULTS"), is_kept=False))
        profile = restore_profile(resumed.manifest["profile"], asked.words.get("ROUNDS", ""))
    plan = choose_plan(profile)
    if resumed is not None and resumed.manifest.get("plan", ROUNDS_PLAN.name) != plan.name:
        other = "bench" if target == "study" else "study"
        raise UsageError(
            f"`make {other}` began that run; go on with `make {other} RESUME=…`", code="resume-other-command"
        )
    limits = parse_thresholds(str(asked.words.get("THRESHOLDS", "")))
    check_cells(limits, [cell.name for cell in plan.cells(profile)])
    install_servers_for(asked, profile)
    latest = asked.path("RESULTS") / "latest"
    last = latest.resolve()

    def describe_kept() -> str:
        if resumed is None and latest.resolve() == last:
            return "nothing was measured, and "
        return f"what was measured is in {os.path.relpath(latest)}, `make {target} RESUME=latest` goes on, and "

    begun_s, before = time.monotonic(), 0 if resumed is None else len(resumed.trials())
    console = Console(stderr=asked.json)
    kept = run_to_end(lambda: _run(asked, profile, plan, resumed, console), kept=describe_kept)
    with refusals():
        where = os.path.relpath(kept.path)
        took = f"{len(kept.trials()) - before} trials, {_format_minutes(time.monotonic() - begun_s)}"
        if resumed is None and plan.name != "capacity" and (forecast_s := kept.manifest.get("forecast_s")):
            took += f" (forecast {_format_minutes(forecast_s)})"
        drawn = f"   report: {where}/report.html" if (kept.path / "report.html").is_file() else ""
        console.print(f"\nresults: {where}{drawn}   {took}", highlight=False, soft_wrap=True)
        if asked.json:
            print_json(kept.summary())
        _judge(kept, target)
        hold_against(limits, kept, console)


async def _run(asked: Asked, profile: Profile, plan: RunPlan, resumed: RunFolder | None, console: Console) -> RunFolder:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task("starting", total=None, left="")

    def begins(done: int, total: int, what: str, left_s: float) -> None:
        left = "" if done == total else f"about {_format_seconds(left_s)} left"
        bar.update(task, completed=done, total=total, description=what, left=left)
        if not console.is_terminal and left:
            console.print(f"[{done + 1}/{total}] {what}, {left}", markup=False, highlight=False)

    def say(sentence: str) -> None:
        bar.console.print(sentence, markup=False, highlight=False)

    progress = environment.Progress(say=say, begins=begins)
    with bar:
        kept = await run_plan(profile, paths_of(asked), progress, asked.line, plan, resumed)
    print_run(kept, console)
    if len(kept.trials()) and profile.report:
        from bench.advise.report import write_report  # noqa: PLC0415 - matplotlib takes 0.6 s

        write_report([kept.path], kept.path)
    return kept


def _judge(kept: RunFolder, target: str) -> None:
    """Raises InvalidRun or DoubtfulRun for a run from which nothing, or not everything, is to be concluded."""
    if broken := kept.describe_disqualified():
        failed = any("failed" in why for why in broken)
        again = f"; `make {target} RESUME=latest` measures again what failed" if failed else ""
        raise InvalidRun(
            f"these trials cannot be used: {', '.join(broken)}; the doubts above say why{again}",
            code="trials-disqualified",
        )
    if lacking := [entry for entry in kept.manifest["caveats"] if entry["name"] == NO_COLD_STARTS]:
        raise InvalidRun(f"{lacking[0]['text']}; {lacking[0]['next_step']}latest", code="connections-missing")
    cells = kept.summary()["cells"]
    if unmeasured := [cell["cell"] for cell in cells if not cell["orders"]["finished"]]:
        raise InvalidRun(
            f"no order of {', '.join(unmeasured)} finished; the doubts above say why", code="nothing-finished"
        )
    if doubtful := [cell["cell"] for cell in cells if not cell["valid"]]:
        raise DoubtfulRun(
            f"these cells are INVALID and cannot be compared: {', '.join(doubtful)}", code="cells-invalid"
        )


def hold_against(limits: Sequence[Limit], kept: RunFolder, console: Console) -> None:
    """Raises Regression for a limit that a cell does not keep."""
    judged = judge_thresholds(limits, kept.summary())
    if missed := list(describe_missed(judged)):
        raise Regression(f"{len(missed)} of {len(judged)} thresholds are missed: {'; '.join(missed)}", code="threshold")
    if judged:
        console.print(f"all {len(judged)} thresholds are kept", highlight=False)


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _format_minutes(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"
