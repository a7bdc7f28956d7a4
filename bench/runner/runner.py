"""The conductor: brokers and a Locust master for the run, then round after round every cell once, each in a trial."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import LoadError, MissingServer, ResultsError, StartFailed
from bench.load.locust.control import Master, master
from bench.profile.matrix import at, cells
from bench.profile.schema import Cell, Profile
from bench.provision import Broker, Unavailable, alive, brokers
from bench.provision.base import Security
from bench.provision.cleanup import open_run
from bench.provision.process import belonging_to, finish
from bench.results import caveats
from bench.results.rows import Trial as Row
from bench.results.store import Run
from bench.runner.availability import why_not
from bench.runner.credentials import secured
from bench.runner.environment import House, Progress, provide
from bench.runner.eta import COLD_START_S, WARM_TRIALS, forecast_s
from bench.runner.manifest import build_manifest, list_doubts, resume_into
from bench.trial import connections as cold_starts
from bench.trial.speed_probe import Canary
from bench.trial.trial import Measured, Stage, measure, warm
from transports.errors import SettingError, TransportError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does: which cells it is about, and how they are gone through. ``name`` stands in the manifest."""

    name: str
    cells: Callable[[Profile], list[Cell]]
    measure: Callable[["Conductor", list[Cell]], Awaitable[None]]


async def run(
    profile: Profile,
    house: House,
    progress: Progress,
    command: str,
    plan: Plan,
    resumed: Run | None = None,
) -> Run:
    """Measure what the profile asks for as the plan says; each trial is on the disk before the next begins.

    With ``resumed`` only what it lacks, into it. Raises MissingServer before the first trial, ResultsError when results
    cannot be written or cannot go on, LoadError or StartFailed when no trial can be run at all. Cancelled, it stops
    what it started and keeps what was measured.
    """
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    async with AsyncExitStack() as stack:
        asked = plan.cells(profile)
        security = await secured(stack, profile, house.home, house.keys)
        shared = await provide(stack, profile, house, progress, security)
        skipped = {cell.name: why for cell in asked if (why := why_not(cell, at(profile, cell), shared))}
        wanted = [cell for cell in asked if cell.name not in skipped]
        if not wanted or (profile.by_name and skipped):
            raise MissingServer("; ".join(dict.fromkeys(skipped.values())), code="missing-server")
        manifest = {**build_manifest(profile, house, shared, wanted, skipped, command), "plan": plan.name}
        if resumed is None:
            kept = Run.create(house.results, run_id, manifest)
            stack.enter_context(kept.alone())
            kept.add_caveats(list_doubts(kept.manifest))
        else:
            kept = resumed
            stack.enter_context(kept.alone())
            resume_into(kept, manifest)
        logs = kept.path / "logs"
        logs.mkdir(exist_ok=True)
        ledger = open_run(house.home)
        stack.push_async_callback(lambda: finish(asyncio.to_thread(ledger.close)))
        env = belonging_to(ledger.folder)
        locust = await stack.enter_async_context(master(folder=ledger.folder, log=logs / "locust.log", env=env))
        conductor = Conductor(stack, profile, house, progress, kept, locust, shared, security, ledger.folder, logs)
        try:
            await plan.measure(conductor, wanted)
        except BaseException:
            with contextlib.suppress(ResultsError):
                kept.write_summary()  # also of what a stop leaves
            raise
        kept.write_summary()
    return kept


def in_turn(profile: Profile, wanted: Sequence[Cell], round_: int) -> list[Cell]:
    """The order of a round, by the seed; the arms of an A/A run stay neighbours, in either order."""
    dice = random.Random(f"{profile.seed}:{round_}")
    order = dice.sample(wanted, len(wanted))
    if profile.arms == 1:
        return order
    return [cell for method in dict.fromkeys(c.method for c in order) for cell in order if cell.method == method]


class Conductor:
    """Runs trials one after the other, with what they share: brokers, Locust's master, the canary."""

    def __init__(
        self,
        stack: AsyncExitStack,
        profile: Profile,
        house: House,
        progress: Progress,
        kept: Run,
        locust: Master,
        shared: dict[str, Broker | Unavailable],
        security: Security,
        folder: Path,
        logs: Path,
    ) -> None:
        self._stack = stack
        self.profile = profile
        self.say = progress.say
        self._house = house
        self._progress = progress
        self.kept = kept
        self._shared = shared
        self._security = security
        self._locust = locust
        self._folder = folder
        self._logs = logs
        self._canary = Canary(kept.manifest.get("canary_us"))
        self._seen = set(kept.manifest["facts"])
        self._warm: set[tuple[Broker, str]] = set()
        """Brokers, and at which level of security."""
        self._slot = 0

    async def rounds(self, wanted: list[Cell]) -> None:
        """Every cell once a round, in an order that the seed shuffles; what the run has already is left out."""
        trials = self.kept.trials()
        measured = set(zip(trials["round"], trials["cell"], strict=True))
        todo = [
            (round_, slot, cell)
            for round_ in range(1, self.profile.rounds + 1)
            for slot, cell in enumerate(in_turn(self.profile, wanted, round_), 1)
            if (round_, cell.name) not in measured
        ]
        used = {broker for broker, _ in self._warm}
        cold = {name for name, broker in self._shared.items() if isinstance(broker, Broker) and broker not in used}
        forecast = forecast_s(self.profile, [cell for _, _, cell in todo], cold)
        connections = self._cold_starts_to_do(wanted)
        forecast += [COLD_START_S] * len(connections)
        self.say(f"{len(wanted)} cells, {len(todo)} trials: about {sum(forecast) / 60:.0f} min")
        self.kept.update_manifest(forecast_s=round(sum(forecast), 1))
        begun_s = time.monotonic()

        def begins(done: int, what: str) -> None:
            # As much longer or shorter than was thought as what is over.
            pace = (time.monotonic() - begun_s) / sum(forecast[:done]) if done else 1.0
            self._progress.begins(done, len(forecast), what, pace * sum(forecast[done:]))

        for done, (round_, slot, cell) in enumerate(todo):
            begins(done, f"round {round_}: {cell.name}")
            await self._trial(cell, round_, slot)
        for done, (round_, slot, what) in enumerate(connections, len(todo)):
            begins(done, f"new connections, round {round_}: {cold_starts.name_of(what)}")
            await self._cold_start(what, round_, slot)
        if lacking := [what for round_, _, what in self._cold_starts_to_do(wanted) if round_]:
            names = dict.fromkeys(map(cold_starts.name_of, lacking))
            self.kept.add_caveats((caveats.no_cold_starts(tuple(names)),))
        begins(len(forecast), "done")

    def _cold_starts_to_do(self, wanted: Sequence[Cell]) -> list[tuple[int, int, Cell | str]]:
        if not self.profile.cold:
            return []
        known = self.kept.cold_starts()
        measured = set(zip(known["round"], known["cell"], strict=True))
        return cold_starts.to_do(self.profile, self.profile.rounds, {cell.name for cell in wanted}, measured)

    async def _cold_start(self, what: Cell | str, round_: int, slot: int) -> None:
        """One more row of cold.csv, but for round 0, which only warms; what fails is said, and the others go on."""
        try:
            if isinstance(what, Cell):
                await self._revive(what)
            row = await cold_starts.cold_start(self._stage(self.profile), what, round_, slot)
        except (TransportError, StartFailed, SettingError, OSError) as error:
            self.say(f"new connections, round {round_}, {cold_starts.name_of(what)}: {error}")
            return
        if round_:
            self.kept.add_cold_start(row)

    async def probe(self, cell: Cell, round_: int, slot: int, duration_s: float) -> Row:
        """One trial outside the rounds, so many seconds long."""
        self.say(f"{cell.name} at {cell.rate_per_s:g} orders/s")
        profile = msgspec.structs.replace(self.profile, duration_s=duration_s)
        return (await self._measured(profile, cell, round_, slot)).row

    async def _trial(self, cell: Cell, round_: int, slot: int) -> None:
        measured = await self._measured(self.profile, cell, round_, slot)
        if measured.outage is not None:
            self.kept.add_outage(measured.outage, measured.timeline)
        self.kept.add_trial(measured.row, measured.histograms, measured.steps, measured.intervals)
        if not measured.row.valid:
            reasons = "; ".join(caveat.text for caveat in measured.row.caveats)
            self.say(f"round {round_}, {cell.name}: invalid, {reasons}")

    async def _measured(self, profile: Profile, cell: Cell, round_: int, slot: int) -> Measured:
        await self._revive(cell)
        stage = self._stage(profile)
        await self._warm_up(stage, cell)
        first = cell.method not in self._seen
        measured = await measure(stage, self._locust, cell, round_=round_, slot=slot, idle=first)
        if measured.again is not None:
            self._shared[measured.again.name] = measured.again
        if self._canary.fastest_us != self.kept.manifest.get("canary_us"):
            self.kept.update_manifest(canary_us=self._canary.fastest_us)
        if first and measured.facts:
            self._seen.add(cell.method)
            self._note(cell, measured)
        if measured.tls and cell.name not in (known := self.kept.manifest["tls"]):
            self.kept.update_manifest(tls={**known, cell.name: measured.tls})
        return measured

    def _stage(self, profile: Profile) -> Stage:
        return Stage(
            profile=profile,
            brokers={name: b for name, b in self._shared.items() if isinstance(b, Broker)},
            run_id=self.kept.manifest["run_id"],
            folder=self._folder,
            home=self._house.home,
            logs=self._logs,
            raw=self.kept.path / "raw" if self.profile.raw else None,
            canary=self._canary,
            keys=self._security.keys,
        )

    async def _warm_up(self, stage: Stage, cell: Cell) -> None:
        """Use what the cell needs and nobody used yet; what goes wrong here will in the trial, which reports it."""
        level = at(self.profile, cell).security
        used = {(stage.brokers[name], level) for name in cell.kind.traits.needs if name in stage.brokers}
        if used <= self._warm or not self.profile.broker_warm_up_s:
            return
        self._warm |= used
        with contextlib.suppress(TransportError, StartFailed, LoadError):
            for _ in range(WARM_TRIALS):
                self._slot += 1
                await warm(stage, self._locust, cell, self._slot)

    async def _revive(self, cell: Cell) -> None:
        """A broker that died in an earlier trial is started again, so that the run goes on."""
        for name in cell.kind.traits.needs:
            broker = self._shared.get(name)
            if isinstance(broker, Broker) and not alive(broker):
                self.say(f"{name} has died; starting another")
                again = brokers([name], given={}, home=self._house.home, say=self.say, security=self._security)
                self._shared |= await self._stack.enter_async_context(again)

    def _note(self, cell: Cell, measured: Measured) -> None:
        self.kept.update_manifest(
            facts={**self.kept.manifest["facts"], cell.method: dict(measured.facts)},
            idle_cpu_ms_per_s={**self.kept.manifest["idle_cpu_ms_per_s"], cell.method: measured.idle_cpu_ms_per_s},
        )


ROUNDS = Plan("rounds", cells, Conductor.rounds)
"""Every cell once a round."""
