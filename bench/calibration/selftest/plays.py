"""What takes more than one trial to be known: a replay, a small difference, a capacity, and clocks."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bench.calibration.selftest.cases import Case, Line, response
from bench.calibration.selftest.queue_model import Model
from bench.load.protocol import TrialReport, TrialSpec
from bench.provision import free_ports
from bench.provision.services import services
from bench.runner.capacity_search import Done, Probe, Settings, Tried, next_step
from bench.stats.quantiles import samples_needed
from bench.trial.hops import agree
from bench.trial.row import health_of
from bench.trial.validity import doubts
from shop.workflow import SERVICES
from transports.base import Setting

Run = Callable[[TrialSpec], Awaitable[TrialReport]]
"""One trial of the stub, through Locust."""
SLO_MS = 10.0
"""As long as five orders; who comes when nobody waits takes a fifth of it."""
ASKED = 20
SLOWER = 1.1
P99_ORDERS = samples_needed(Fraction(99, 100)) + 1


@dataclass(frozen=True, slots=True)
class Play:
    """``run`` is told a name that is unique among trials, and a folder of its own."""

    name: str
    run: Callable[[Run, str, Path], Awaitable[Sequence[Line]]]


def a_spec(trial: str, model: Model, **load: object) -> TrialSpec:
    return Case(trial, model, lambda *_: (), dict(load)).spec(trial)


async def replay(run: Run, trial: str, folder: Path) -> list[Line]:
    """The same seed gives the same plan, which is of times, sizes and outcomes; another seed another one."""
    reports = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        reports[name] = await run(a_spec(f"{trial}-{name}", Model(), seed=seed, duration_s=1.0))
    first, again, other = (reports[name].plan_hash for name in ("first", "again", "other"))
    same, differs = first == again, first != other
    return [
        Line("the same seed", "the same plan", "the same plan" if same else "another plan", bool(first) and same),
        Line("another seed", "another plan", "another plan" if differs else "the same plan", differs),
    ]


async def sensitivity(run: Run, trial: str, folder: Path) -> list[Line]:
    """A tenth more service time is a tenth more latency."""
    p50_us = []
    for number, service_ms in enumerate((100.0, 100.0 * SLOWER)):
        report = await run(a_spec(f"{trial}-{number}", Model(service_ms=service_ms), duration_s=5.0))
        p50_us.append(response(report).p50_us or 0)
    ratio = p50_us[1] / p50_us[0] if p50_us[0] else 0.0
    return [Line("p50, slower over quicker", f"{SLOWER} ± 0.02", f"{ratio:.3f}", abs(ratio - SLOWER) <= 0.02)]


async def capacity(run: Run, trial: str, folder: Path) -> list[Line]:
    """One clerk who takes 2 ms serves 500 a second; who comes evenly waits for nobody below that, and in vain above."""
    model, known_per_s = Model(service_ms=2.0, clerks=1), 500.0
    settings = Settings(start_per_s=300.0, lowest_per_s=50.0)
    history: list[Tried] = []
    while isinstance(step := next_step(history, settings), Probe):
        users = round(step.per_s)
        load = {
            "arrivals": "constant",
            "users": users,
            "orders_per_s_per_user": step.per_s / users,
            "duration_s": max(2.0, P99_ORDERS / step.per_s),
        }
        report = await run(a_spec(f"{trial}-{len(history)}", model, **load))
        p99_us = response(report).p99_us
        grew = any(doubt.name in ("backlog", "below-rate") for doubt in doubts(health_of(report, None)))
        passed = not grew and p99_us is not None and p99_us <= SLO_MS * 1000
        history.append(Tried(step, "pass" if passed else "fail"))
    assert isinstance(step, Done)
    found_per_s = step.last_pass_per_s or 0.0
    low_per_s = known_per_s / (1 + 2 * settings.precision)
    return [
        Line(
            "highest rate that passed",
            f"{low_per_s:.0f} to {known_per_s * 1.005:.0f}/s",
            f"{found_per_s:g}/s",
            step.answer == "capacity" and low_per_s <= found_per_s <= known_per_s * 1.005,
        ),
        Line("trials", "at most 24", str(len(history)), len(history) <= 24),
    ]


async def clocks(run: Run, trial: str, folder: Path) -> list[Line]:
    """What a service's process reads lies between two readings of ours."""
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, free_ports(len(SERVICES)), strict=True)}
    setting = Setting(trial=trial, addresses=addresses)
    widths_us, why = [], ""
    async with services("rest", setting, folder=folder, logs=folder, store_folder=None) as running:
        for _ in range(ASKED):
            bounds = {name: await service.clock() for name, service in running.items()}
            why = why or agree(bounds)
            widths_us += [(after_ns - before_ns) / 1000 for before_ns, _, after_ns in bounds.values()]
    seen = why or f"agree, to {min(widths_us):.0f} us at best"
    return [Line("clocks of the processes", "agree", seen, not why)]


PLAYS = (
    Play("the same seed again", replay),
    Play("a tenth slower", sensitivity),
    Play("the search for a capacity of 500/s", capacity),
    Play("one clock for all processes", clocks),
)
