"""The command line: what `make` calls. Settings are given as KEY=VALUE, as to make itself."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bench.advise import question
from bench.advise.report import write_report
from bench.errors import LoadError, MissingServer, ResultsError, StartFailed, UsageError
from bench.paths import ROOT
from bench.profile import loader as profiles
from bench.profile.parsing import FLAGS
from bench.profile.schema import Profile
from bench.provision.brokers import URL_VARIABLES
from bench.provision.cleanup import resolve_home
from bench.report.terminal.connections import print_connections_table, read_cold_starts
from bench.report.terminal.run import aa_table, capacity_table, effects_table, hops_table, outage_table, render_run
from bench.results.caveats import NO_COLD_STARTS
from bench.results.lookup import find_run_folder, find_runs, find_two_runs
from bench.results.store import RunFolder
from bench.runner import environment
from bench.runner import runner as conductor
from bench.runner.environment import RunPaths
from bench.stats.aa import summarise_aa_by_speed
from bench.stats.summary import RATIO_METRICS
from bench.trial.validity import format_spread
from transports.errors import SettingError, TransportError
from transports.registry import describe_unknown

USAGE, MISSING, FAILED, NO_RESULTS, INVALID, DOUBTFUL, STOPPED = 2, 3, 4, 5, 6, 7, 130
T = TypeVar("T")

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help=f"PROFILE and any of {', '.join(FLAGS)}; or RESUME=RUN",
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help=f"any of {', '.join((*question.FIELD_BY_WORD, 'RUN'))}"),
]
Home = Annotated[Path, typer.Option(help="brokers' data, databases, jars")]


@app.command()
def run(
    settings: Settings = None,
    results: Annotated[Path, typer.Option(help="where RUN/ is made")] = ROOT / "results",
    home: Home = ROOT / ".fourways",
) -> None:
    """Measure, and show a first look: what `make bench` does."""
    _measured(settings or [], results, home, "bench", lambda _: conductor.ROUNDS_PLAN)


@app.command()
def study(
    settings: Settings = None,
    results: Annotated[Path, typer.Option(help="where RUN/ is made")] = ROOT / "results",
    home: Home = ROOT / ".fourways",
) -> None:
    """A search for each method's capacity, or the effects of a profile's factors: what `make study PROFILE=…` does."""
    from bench.runner.capacity import choose_plan  # noqa: PLC0415 - the other commands do not need it

    _measured(settings or [], results, home, "study", choose_plan)


def _measured(
    settings: list[str], results: Path, home: Path, target: str, plan_of: Callable[[Profile], conductor.RunPlan]
) -> None:
    console, given = Console(), _pairs(settings)
    resumed = _resumed(given, results)
    try:
        if resumed is None:
            asked = _asked(given)
        else:
            asked = profiles.kept(resumed.manifest["profile"], given.get("ROUNDS", ""))
        plan = plan_of(asked)
        if resumed is not None and resumed.manifest.get("plan", conductor.ROUNDS_PLAN.name) != plan.name:
            other = "bench" if target == "study" else "study"
            _end(USAGE, f"that run was begun by `make {other}`; go on with `make {other} RESUME=…`")
        plan.cells(asked)
    except UsageError as error:
        _end(USAGE, str(error))
    with _refusing():
        begun_s, before = time.monotonic(), 0 if resumed is None else len(resumed.trials())
    kept = _guarded(
        lambda: _measure(asked, _house(home, results), console, plan, resumed),
        kept=f"what was measured is in results/latest, `make {target} RESUME=latest` goes on, and ",
    )
    where = os.path.relpath(kept.path)
    took = f"{len(kept.trials()) - before} trials, {_precisely(time.monotonic() - begun_s)}"
    if resumed is None and plan.name != "capacity" and (forecast_s := kept.manifest.get("forecast_s")):
        took += f" (forecast {_precisely(forecast_s)})"
    console.print(f"\nresults: {where}   report: {where}/report.html   {took}", highlight=False, soft_wrap=True)
    cells = kept.summary()["cells"]
    if broken := kept.describe_disqualified():
        failed = any("failed" in why for why in broken)
        again = f"; `make {target} RESUME=latest` measures again what failed" if failed else ""
        _end(INVALID, f"not to be used: {', '.join(broken)}; the caveats above say why{again}")
    if lacking := [entry for entry in kept.manifest["caveats"] if entry["name"] == NO_COLD_STARTS]:
        _end(INVALID, f"{lacking[0]['text']}; {lacking[0]['next_step']}latest")
    if unmeasured := [cell["cell"] for cell in cells if not cell["orders"]["finished"]]:
        _end(INVALID, f"no order of {', '.join(unmeasured)} finished; the caveats above say why")
    if doubtful := [cell["cell"] for cell in cells if not cell["valid"]]:
        _end(DOUBTFUL, f"INVALID, so nothing is to be concluded from them: {', '.join(doubtful)}")


@app.command()
def web(
    settings: Settings = None,
    port: Annotated[int, typer.Option(help="of Locust's page")] = 8089,
    home: Home = ROOT / ".fourways",
) -> None:
    """Services of one transport, and Locust's page to drive load at them: what `make web TRANSPORT=…` does."""
    from bench.runner.web import serve_page  # noqa: PLC0415 - the other commands do not need it

    given, console = _pairs(settings), Console(stderr=True)
    asked = _asked(given)
    _guarded(
        lambda: serve_page(asked, _house(home), port, lambda said: console.print(said, highlight=False), set(given))
    )


@app.command()
def soak(
    settings: Settings = None,
    orders: Annotated[int, typer.Option(min=1000)] = 100_000,
    home: Home = ROOT / ".fourways",
) -> None:
    """Many orders through each transport: does a service's memory grow? What `make soak` does."""
    from bench.runner.soak import build_soak_table  # noqa: PLC0415
    from bench.runner.soak import run_soak as soaked  # noqa: PLC0415 - the other commands do not need it

    asked, console = _asked(_pairs(settings)), Console()
    found = _guarded(lambda: soaked(asked, _house(home), orders, lambda s: console.print(s, highlight=False)))
    console.print(build_soak_table(found))
    if not all(one.bounded for one in found):
        _end(FAILED, "a service's memory is not bounded: see the rows that say NO")


@app.command()
def advise(
    words: Words = None,
    results: Annotated[Path, typer.Option(help="where RUN= is looked for")] = ROOT / "results",
) -> None:
    """Which method for a use, from what was measured: what `make advise` does. RUN=A,B: from these runs."""
    from bench.advise.evidence import collect_evidence  # noqa: PLC0415
    from bench.advise.ranking import advise as advised  # noqa: PLC0415 - the other commands do not need it
    from bench.advise.terminal import render_advice  # noqa: PLC0415

    with _refusing():
        given = _pairs(words, known=(*question.FIELD_BY_WORD, "RUN"))
        folders = find_runs(given.pop("RUN", ""), results)
        Console().print(
            render_advice(advised(question.parse_question(given), collect_evidence(folders))), highlight=False
        )


@app.command()
def pros(
    words: Annotated[list[str] | None, typer.Argument(metavar="[RUN=A,B]", help="from these runs")] = None,
    results: Annotated[Path, typer.Option(help="where RUN= is looked for")] = ROOT / "results",
) -> None:
    """Pros and cons of each method, each with its number and where it comes from: what `make pros` does."""
    from bench.advise.chart_links import look_up_in_folders  # noqa: PLC0415 - the other commands do not need it
    from bench.advise.claims import build_claims  # noqa: PLC0415
    from bench.advise.evidence import collect_evidence  # noqa: PLC0415
    from bench.advise.terminal import render_claims  # noqa: PLC0415

    with _refusing():
        found = collect_evidence(find_runs(_pairs(words, known=("RUN",)).get("RUN", ""), results))
        Console().print(
            render_claims(build_claims(found, look_up_in_folders(found.runs)), found.left_out), highlight=False
        )


@app.command()
def compare(
    words: Annotated[list[str] | None, typer.Argument(metavar="A=RUN B=RUN", help="ids, names or folders")] = None,
    results: Annotated[Path, typer.Option(help="where RUN/ is looked for")] = ROOT / "results",
) -> None:
    """Two runs side by side, what differs in them and B over A: what `make compare A=… B=…` does."""
    from bench.report.terminal.compare import render_comparison  # noqa: PLC0415
    from bench.results.compare import compare_runs as compare_runs  # noqa: PLC0415 - the other commands do not need it

    with _refusing():
        given = _pairs(words, known=("A", "B"))
        a, b = (RunFolder.open(folder) for folder in find_two_runs(given.get("A", ""), given.get("B", ""), results))
        Console().print(render_comparison(compare_runs(a, b)), highlight=False)


@app.command()
def health(
    run: Annotated[Path, typer.Argument(help="a folder of results")] = ROOT / "results" / "latest",
) -> None:
    """How near a run's trials came to the limits beyond which they are invalid; for A/A, what speed does."""
    try:
        kept = RunFolder.open(run)
        trials = kept.trials()
    except ResultsError as error:
        _end(NO_RESULTS, str(error))
    print(format_spread(trials))
    if kept.manifest["profile"].get("arms") == 2 and "slowness" in trials:
        found = summarise_aa_by_speed(trials)
        print(f"\n{found[found['metric'].isin(RATIO_METRICS)].to_string(index=False, float_format='{:.3g}'.format)}")


@app.command()
def hops(
    run: Annotated[Path, typer.Argument(help="a folder of results")] = ROOT / "results" / "latest",
) -> None:
    """Where an order's time went, by service and part, in each cell."""
    try:
        found = RunFolder.open(run).hops()
    except ResultsError as error:
        _end(NO_RESULTS, str(error))
    if found.empty:
        _end(NO_RESULTS, f"{run} has no stamps; measure with HOPS=20 or another number but 0")
    Console().print(hops_table(found))


@app.command(name="report")
def report_(
    settings: Annotated[list[str] | None, typer.Argument(metavar="[RUN=a,b] [OUT=folder]")] = None,
    results: Annotated[Path, typer.Option(help="where the runs are")] = ROOT / "results",
) -> None:
    """Draw report.html, report.md and charts/ of one run (the latest) or of several: what `make report RUN=…` does."""
    with _refusing():
        given = _pairs(settings, known=("RUN", "OUT"))
        paths = [find_run_folder(name, results) for name in (given.get("RUN") or "latest").split(",")]
        print(os.path.relpath(write_report(paths, Path(given.get("OUT") or paths[0]))))


def _resumed(given: Mapping[str, str], results: Path) -> RunFolder | None:
    """The run that RESUME= names, by its id, its folder or as ``latest``."""
    if "RESUME" not in given:
        return None
    if given.keys() - {"RESUME", "ROUNDS"}:
        _end(USAGE, "a run goes on with the settings that it began with; give RESUME= alone, or with more ROUNDS=")
    with _refusing():
        return RunFolder.resume(find_run_folder(given["RESUME"], results, is_kept=False))


def _measure(
    asked: Profile, house: RunPaths, console: Console, plan: conductor.RunPlan, resumed: RunFolder | None
) -> Coroutine[Any, Any, RunFolder]:
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
        left = "" if done == total else f"about {_minutes(left_s)} left"
        bar.update(task, completed=done, total=total, description=what, left=left)
        if not console.is_terminal and left:
            console.print(f"[{done + 1}/{total}] {what}, {left}", markup=False, highlight=False)

    def say(sentence: str) -> None:
        bar.console.print(sentence, markup=False, highlight=False)

    async def measured() -> RunFolder:
        with bar:
            kept = await conductor.run_plan(
                asked,
                house,
                environment.Progress(say=say, begins=begins),
                " ".join(["bench", *sys.argv[1:]]),
                plan,
                resumed,
            )
        capacities = kept.capacities()
        if len(capacities):
            console.print(capacity_table(capacities))
        if asked.arms == 2:
            console.print(aa_table(kept.write_aa()))
        effects = kept.effects() if asked.designed else None
        if effects is not None:
            console.print(effects_table(effects))
        if kept.manifest["profile"]["cold"]:
            print_connections_table(read_cold_starts(kept.cold_starts()))
        trials, summary = kept.trials(), kept.summary()
        if "outages" in summary:
            console.print(outage_table(summary["outages"]))
        if len(trials):
            console.print(render_run(summary, kept.manifest))
            write_report([kept.path], kept.path)
        return kept

    return measured()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _precisely(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"


def _house(home: Path, results: Path = ROOT / "results") -> RunPaths:
    given = {name: os.environ[variable] for name, variable in URL_VARIABLES.items() if os.environ.get(variable)}
    given |= {
        name.removesuffix("_URL").lower(): url
        for name, url in os.environ.items()
        if name.endswith("_URL") and name not in URL_VARIABLES.values()
    }
    keys = os.environ.get("KEYS")
    return RunPaths(
        checkout=ROOT, home=resolve_home(home), results=results, given=given, keys=Path(keys) if keys else None
    )


def _asked(given: Mapping[str, str]) -> Profile:
    flags = {key: value for key, value in given.items() if key != "PROFILE"}
    try:
        return profiles.load(given.get("PROFILE") or "default", flags)
    except (UsageError, SettingError) as error:
        _end(USAGE, str(error))


def _pairs(settings: list[str] | None, known: tuple[str, ...] = ()) -> dict[str, str]:
    """KEY=VALUE as a mapping, of these keys alone where any are given; what is none ends the command."""
    pairs = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals:
            instance = f"{known[0]}=…" if known else "RATE=150"
            _end(USAGE, f"{setting!r} is no setting; give KEY=VALUE, for instance {instance}")
        if known and key not in known:
            _end(USAGE, describe_unknown("setting", key, known))
        pairs[key] = value
    return pairs


@contextmanager
def _refusing() -> Iterator[None]:
    """What is asked of kept results and cannot be had is one sentence and a code."""
    try:
        yield
    except UsageError as error:
        _end(USAGE, str(error))
    except ResultsError as error:
        _end(NO_RESULTS, str(error))


def _guarded(work: Callable[[], Coroutine[Any, Any, T]], *, kept: str = "") -> T:
    """Run it; Ctrl-C and SIGTERM end it in order, and what a person can cause is one sentence and a code."""
    stopping: list[signal.Signals] = []

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work())

        def stop(number: signal.Signals) -> None:
            stopping.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        return uvloop.run(stoppable())
    except asyncio.CancelledError:
        if not stopping:
            raise
        _end(STOPPED, f"stopped; {kept}nothing is left running")
    except MissingServer as error:
        _end(MISSING, str(error))
    except ResultsError as error:
        _end(NO_RESULTS, str(error))
    except (UsageError, SettingError) as error:
        _end(USAGE, str(error))
    except (StartFailed, LoadError, TransportError) as error:
        _end(FAILED, str(error))
    except OSError as error:
        _end(FAILED, f"{error.filename or 'the system'}: {error.strerror or error}; see to it and try again")


def _end(code: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(code)


def main() -> None:
    """Entry of ``python -m bench``."""
    app(prog_name="bench")
