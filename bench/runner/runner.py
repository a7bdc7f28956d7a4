"""Runs a profile: starts brokers and a Locust master, then rounds of one trial per cell."""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import MissingServer, ResultsError, StartFailed
from bench.load.locust.control import Master, start_master
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings, Profile
from bench.provision import postgres
from bench.provision.base import PLAIN, Broker, Security, Unavailable
from bench.provision.brokers import is_broker_running, provide_brokers
from bench.provision.cleanup import find_other_runs, open_ledger
from bench.provision.process import build_mark_environment, finish_despite_cancellation
from bench.results import caveats
from bench.results.rows import TrialRow
from bench.results.store import RunFolder
from bench.runner.availability import find_unavailable_reason
from bench.runner.credentials import prepare_credentials
from bench.runner.environment import Progress, RunPaths, provide_servers
from bench.runner.eta import COLD_START_S, forecast_durations_s
from bench.runner.manifest import build_manifest, list_manifest_caveats, resume_into
from bench.runner.pythons import describe_pythons, find_missing_cells, list_programs, provide_pythons
from bench.runner.warm_brokers import BrokerWarmUp
from bench.trial import connections
from bench.trial.context import TrialContext
from bench.trial.speed_probe import SpeedProbe
from bench.trial.trial import TrialResult, run_trial
from transports.errors import SettingError, TransportError


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run does: its cells, and how they are measured. ``name`` goes into the manifest."""

    name: str
    cells: Callable[[Profile], list[CellSettings]]
    measure: Callable[["Runner", list[CellSettings]], Awaitable[None]]


async def run_plan(
    profile: Profile,
    paths: RunPaths,
    progress: Progress,
    command: str,
    plan: RunPlan,
    resumed: RunFolder | None = None,
) -> RunFolder:
    """Runs a plan over the profile's cells; each trial is on the disk before the next begins.

    With ``resumed`` only what it lacks, into it. Raises MissingServer before the first trial, ResultsError when results
    cannot be written or cannot go on, LoadError or StartFailed when no trial can be run at all. Cancelled, it stops
    what it started and keeps what was measured.
    """
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    async with AsyncExitStack() as stack:
        asked = plan.cells(profile)
        pythons = await provide_pythons(asked, paths, progress.say)
        security = await prepare_credentials(stack, profile, paths.home, paths.keys)
        shared = await provide_servers(stack, profile, paths, progress, security)
        without = find_missing_cells(asked, pythons)
        left = [cell for cell in asked if cell.name not in without]
        skipped = {cell.name: why for cell in left if (why := find_unavailable_reason(cell, shared))}
        wanted = [cell for cell in left if cell.name not in skipped]
        if not wanted or (profile.by_name and skipped):
            raise MissingServer("; ".join(dict.fromkeys(skipped.values())), code="missing-server")
        manifest = build_manifest(profile, paths, shared, wanted, {**without, **skipped}, command)
        manifest |= {"plan": plan.name, "interpreters": describe_pythons(pythons)}
        if resumed is None:
            kept = RunFolder.create(paths.results, run_id, manifest)
            stack.enter_context(kept.alone())
            kept.add_caveats(list_manifest_caveats(kept.manifest))
        else:
            kept = resumed
            stack.enter_context(kept.alone())
            resume_into(kept, manifest)
        logs = kept.path / "logs"
        logs.mkdir(exist_ok=True)
        ledger = open_ledger(paths.home)
        stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
        env = build_mark_environment(ledger.folder)
        locust = await stack.enter_async_context(start_master(folder=ledger.folder, log=logs / "locust.log", env=env))
        programs = list_programs(pythons)
        _doubt_other_runs(kept)
        runner = Runner(stack, profile, paths, progress, kept, locust, shared, programs, security, ledger.folder, logs)
        try:
            await plan.measure(runner, wanted)
        except BaseException:
            with contextlib.suppress(ResultsError):
                kept.write_summary()  # also of what a stop leaves
            raise
        _doubt_other_runs(kept)
        kept.write_summary()
    return kept


def _doubt_other_runs(kept: RunFolder) -> None:
    """Adds a doubt when other runs of Fourways are on the machine now."""
    if others := find_other_runs(os.getpid()):
        kept.add_caveats((caveats.another_run(len(others)),))


def shuffle_round(profile: Profile, wanted: Sequence[CellSettings], round_: int) -> list[CellSettings]:
    """Returns the cells of a round, shuffled by the seed; the arms of an A/A run stay neighbours, in either order."""
    dice = random.Random(f"{profile.seed}:{round_}")
    order = dice.sample(wanted, len(wanted))
    if profile.arms == 1:
        return order
    return [cell for method in dict.fromkeys(c.method for c in order) for cell in order if cell.method == method]


class Runner:
    """Runs trials one after the other, with what they share: brokers, Locust's master, the speed probe."""

    def __init__(
        self,
        stack: AsyncExitStack,
        profile: Profile,
        paths: RunPaths,
        progress: Progress,
        kept: RunFolder,
        locust: Master,
        shared: dict[str, Broker | Unavailable],
        pythons: dict[str, Path],
        security: Security,
        folder: Path,
        logs: Path,
    ) -> None:
        self._stack = stack
        self.profile = profile
        self.say = progress.say
        self.begins = progress.begins
        self._paths = paths
        self.home = paths.home
        self._progress = progress
        self.kept = kept
        self._shared = shared
        self._pythons = pythons
        self._security = security
        self.locust = locust
        self._folder = folder
        self._logs = logs
        self._speed_probe = SpeedProbe(kept.manifest.get("speed_probe_us"))
        self.methods_with_facts = set(kept.manifest["facts"])
        self._brokers_warm_up = BrokerWarmUp(progress.say, lambda doubt: kept.add_caveats((doubt,)))

    async def rounds(self, wanted: list[CellSettings]) -> None:
        """Runs every cell once a round, in seeded order; what the run has already is left out."""
        trials = self.kept.trials()
        measured = set(zip(trials["round"], trials["cell"], strict=True))
        todo = [
            (round_, slot, cell)
            for round_ in range(1, self.profile.rounds + 1)
            for slot, cell in enumerate(shuffle_round(self.profile, wanted, round_), 1)
            if (round_, cell.name) not in measured
        ]
        is_warm = self._brokers_warm_up.is_warm
        cold = {name for name, broker in self._shared.items() if isinstance(broker, Broker) and not is_warm(broker)}
        forecast = forecast_durations_s([cell for _, _, cell in todo], cold)
        pending = self._list_pending_connections(wanted)
        forecast += [COLD_START_S] * len(pending)
        self.say(f"{len(wanted)} cells, {len(todo)} trials: about {sum(forecast) / 60:.0f} min")
        self.kept.update_manifest(forecast_s=round(sum(forecast), 1))
        begun_s = time.monotonic()

        def begins(done: int, what: str) -> None:
            # As much longer or shorter than was thought as what is over.
            pace = (time.monotonic() - begun_s) / sum(forecast[:done]) if done else 1.0
            self._progress.begins(done, len(forecast), what, pace * sum(forecast[done:]))

        await self.warm_up(self.stage(), [cell for _, _, cell in todo])
        for done, (round_, slot, cell) in enumerate(todo):
            begins(done, f"round {round_}: {cell.name}")
            await self._trial(cell, round_, slot)
        for done, (round_, slot, what) in enumerate(pending, len(todo)):
            begins(done, f"new connections, round {round_}: {connections.format_measured_name(what)}")
            await self._cold_start(what, round_, slot)
        if lacking := [what for round_, _, what in self._list_pending_connections(wanted) if round_]:
            names = dict.fromkeys(map(connections.format_measured_name, lacking))
            self.kept.add_caveats((caveats.cold_starts_missing(tuple(names)),))
        begins(len(forecast), "done")

    def _list_pending_connections(self, wanted: Sequence[CellSettings]) -> list[tuple[int, int, CellSettings | str]]:
        if not self.profile.connections:
            return []
        known = self.kept.cold_starts()
        measured = set(zip(known["round"], known["cell"], strict=True))
        return connections.list_pending(self.profile, self.profile.rounds, {cell.name for cell in wanted}, measured)

    async def _cold_start(self, what: CellSettings | str, round_: int, slot: int) -> None:
        """One more row of cold.csv, but for round 0, which only warms; what fails is said, and the others go on."""
        try:
            if isinstance(what, CellSettings):
                await self.restart_dead_brokers(what)
            row = await connections.measure_cold_start(self.stage(), self.profile, what, round_, slot)
        except (TransportError, StartFailed, SettingError, OSError) as error:
            self.say(f"new connections, round {round_}, {connections.format_measured_name(what)}: {error}")
            return
        if round_:
            self.kept.add_cold_start(row)

    async def probe(self, cell: CellSettings, round_: int, slot: int, duration_s: float) -> TrialRow:
        """Runs one trial outside the rounds, ``duration_s`` seconds long, and returns its row."""
        self.say(f"{cell.name} at {cell.rate_per_s:g} orders/s")
        longer = replace(cell, profile=msgspec.structs.replace(cell.profile, duration_s=duration_s))
        return (await self._run_trial(longer, round_, slot)).row

    async def _trial(self, cell: CellSettings, round_: int, slot: int) -> None:
        measured = await self._run_trial(cell, round_, slot)
        if measured.outage is not None:
            self.kept.add_outage(measured.outage, measured.timeline)
        self.keep(cell, round_, measured)

    def keep(self, cell: CellSettings, round_: int, measured: TrialResult) -> None:
        """Writes a trial to the run, and says why it is invalid if it is."""
        self.kept.add_trial(measured.row, measured.histograms, measured.steps, measured.intervals)
        if not measured.row.valid:
            reasons = "; ".join(caveat.text for caveat in measured.row.caveats)
            self.say(f"round {round_}, {cell.name}: invalid, {reasons}")

    async def _run_trial(self, cell: CellSettings, round_: int, slot: int) -> TrialResult:
        await self.restart_dead_brokers(cell)
        stage = self.stage()
        await self.warm_up(stage, [cell])
        first = cell.method not in self.methods_with_facts
        measured = await run_trial(stage, self.locust, cell, round_=round_, slot=slot, idle=first)
        if measured.again is not None:
            self._shared[measured.again.name] = measured.again
        self.note_speed()
        self.note_cell(cell, measured)
        return measured

    def note_speed(self) -> None:
        """Writes what the speed probe took at its best to the manifest."""
        if self._speed_probe.fastest_us != self.kept.manifest.get("speed_probe_us"):
            self.kept.update_manifest(speed_probe_us=self._speed_probe.fastest_us)

    def note_cell(self, cell: CellSettings, measured: TrialResult) -> None:
        """Writes what a cell's first trial told of its method to the manifest, and its TLS."""
        if cell.method not in self.methods_with_facts and measured.facts:
            self.methods_with_facts.add(cell.method)
            self._note(cell, measured)
        if measured.tls and cell.name not in (known := self.kept.manifest["tls"]):
            self.kept.update_manifest(tls={**known, cell.name: measured.tls})

    def stage(self) -> TrialContext:
        """Returns what the next trial shares with the others."""
        return TrialContext(
            brokers={name: b for name, b in self._shared.items() if isinstance(b, Broker)},
            run_id=self.kept.manifest["run_id"],
            folder=self._folder,
            home=self._paths.home,
            logs=self._logs,
            raw=self.kept.path / "raw" if self.profile.raw else None,
            dead_letters=self.kept.path / "dead-letters",
            speed_probe=self._speed_probe,
            keys=self._security.keys,
            pythons=self._pythons,
        )

    async def warm_up(self, stage: TrialContext, cells: Sequence[CellSettings]) -> None:
        """Warms the brokers that these cells need and nobody used yet, at once."""
        await self._brokers_warm_up.warm(stage, self.locust, cells, self.profile.broker_warm_up_s)

    async def restart_dead_brokers(self, cell: CellSettings) -> None:
        """A broker that died in an earlier trial is started again, so that the run goes on."""
        for name in (*cell.kind.traits.needs, *([postgres.NAME] if cell.needs_database else ())):
            broker = self._shared.get(name)
            if isinstance(broker, Broker) and not is_broker_running(broker):
                self.say(f"{name} has died; starting another")
                security = PLAIN if name == postgres.NAME else self._security
                again = provide_brokers([name], given={}, home=self._paths.home, say=self.say, security=security)
                self._shared |= await self._stack.enter_async_context(again)

    def _note(self, cell: CellSettings, measured: TrialResult) -> None:
        self.kept.update_manifest(
            facts={**self.kept.manifest["facts"], cell.method: dict(measured.facts)},
            idle_cpu_ms_per_s={**self.kept.manifest["idle_cpu_ms_per_s"], cell.method: measured.idle_cpu_ms_per_s},
        )


ROUNDS_PLAN = RunPlan("rounds", expand_cells, Runner.rounds)
"""Every cell once a round."""
