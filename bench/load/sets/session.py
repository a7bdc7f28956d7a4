"""Plays a set in one load process: connects to all arms, warms them, plays the slices, builds the report."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import resources as cost
from bench.load.gc_pause import pause_gc
from bench.load.order_log import WriteOrder, open_order_log
from bench.load.protocol import DriverAudit, TrialReport
from bench.load.recorder import DriverRecord, PackedTally
from bench.load.sets.merging import FirstBody, merge_slices
from bench.load.sets.plan import PlannedSlice, build_workload, find_warm_up_cell, plan_slices
from bench.load.sets.player import BegunSlice, PlayedSlice, play_slice
from bench.load.sets.protocol import ArmReport, ArmSpec, SetReport, SetSpec
from bench.load.sets.warm_up import WarmedArm, warm_up
from transports import registry
from transports.base import Client, Transport
from transports.errors import TransportError


@dataclass(slots=True)
class _Arm:
    spec: ArmSpec
    transport: Transport
    client: Client | None = None
    error: str | None = None
    warmed: WarmedArm | None = None
    duplicated: int = 0
    """Outcomes beyond the first of an order that a slice has been given."""


@dataclass(slots=True)
class ShownSlice:
    """A slice whose orders are shown while it is played. ``over`` once its numbers are final."""

    place: int
    cell: str
    record: DriverRecord
    over: bool


@dataclass(slots=True)
class _Played:
    slices: list[PlayedSlice] = field(default_factory=list)
    duplicated: dict[int, int] = field(default_factory=dict)
    """By cell."""
    first_ns: int = 0
    ended_ns: int = 0


class SetSession:
    """One set in one load process. ``run`` raises nothing that went wrong in it: its report says so."""

    def __init__(self, spec: SetSpec, worker: int) -> None:
        self.spec = spec
        self.worker = worker
        self.trace = ""
        """Where an unforeseen error came from."""
        self.report: SetReport | None = None
        self.reported = asyncio.Event()
        """Set once ``report`` is there, before the clients are closed."""
        self._begun = BegunSlice()
        self._stopped = asyncio.Event()
        self._played = _Played()
        self._shown_up_to = 0

    def stop(self) -> None:
        """Stops sending and drains; what was played is reported. Idempotent."""
        self._stopped.set()
        self._begun.stop()

    def take_shown(self) -> Iterator[ShownSlice]:
        """Yields the slices that are going on, or have ended since they were last taken."""
        played = self._played.slices
        names = [cell.name for cell in self.spec.cells]
        for one in played[self._shown_up_to :]:
            yield ShownSlice(one.place, names[one.planned.spec.cell], one.record, one.task.done())
        while self._shown_up_to < len(played) and played[self._shown_up_to].task.done():
            self._shown_up_to += 1

    async def run(self, connected: Callable[[], Awaitable[None]]) -> SetReport:
        """Plays the set and returns its report; ``connected`` is called once before the first order."""
        try:
            return await self._run(connected)
        except (TransportError, ValueError, OSError) as error:
            sentence = str(error)
        except Exception as error:  # noqa: BLE001 - the conductor is told, whatever it was
            self.trace = traceback.format_exc()
            sentence = f"load worker {self.worker} failed with {type(error).__name__}: {error}"
        return SetReport(id=self.spec.id, error=sentence)

    async def _run(self, connected: Callable[[], Awaitable[None]]) -> SetReport:
        spec, began_ns = self.spec, time.monotonic_ns()
        if self.worker:
            raise ValueError("a set is played by one load process, and this is one more")
        # A thread, since the master takes a worker that plans for seconds without a heartbeat for dead.
        planned = await asyncio.to_thread(plan_slices, spec)
        async with AsyncExitStack() as stack:
            arms = [await self._connect(stack, arm) for arm in spec.arms]
            logs = {
                at: stack.enter_context(open_order_log(Path(cell.raw)))
                for at, cell in enumerate(spec.cells)
                if cell.raw
            }
            await connected()
            warm_up_s = await self._warm_up(arms)
            for arm in arms:
                for pids in arm.spec.watch.parts.values():
                    cost.reset_peak_memory(pids)
            # Once a set: a collection before each slice would empty the caches that the slice before has filled.
            with pause_gc(disable=True):
                try:
                    await self._play(arms, planned, logs)
                    ended_ns = time.monotonic_ns()
                    await self._finish(arms)
                finally:
                    for one in self._played.slices:
                        one.task.cancel()
            first_ns = self._played.first_ns or ended_ns
            report = SetReport(
                id=spec.id,
                arms=[self._report_arm(at, arm) for at, arm in enumerate(arms)],
                slices=[one.build_report(spec, first_ns) for one in self._whole()],
                warm_up_s=warm_up_s,
                played_s=(ended_ns - first_ns) / 1e9,
                drained_s=(time.monotonic_ns() - ended_ns) / 1e9,
                began_ns=began_ns,
                ended_ns=time.monotonic_ns(),
            )
            report.cells = [self._merge_cell(at, arms, report) for at in range(len(spec.cells))]
            self.report = report
            self.reported.set()
            return report

    async def _connect(self, stack: AsyncExitStack, spec: ArmSpec) -> _Arm:
        arm = _Arm(spec, registry.load_transport(spec.transport, spec.setting.product)(spec.setting))
        try:
            arm.client = await stack.enter_async_context(arm.transport.connect())
        except TransportError as error:
            arm.error = str(error)
        return arm

    async def _warm_up(self, arms: Sequence[_Arm]) -> float:
        spec = self.spec
        if not spec.warm_up_s:
            return 0.0
        began_s = time.monotonic()
        taking = []
        for at, arm in enumerate(arms):
            if arm.client is not None:
                orders = build_workload(spec, find_warm_up_cell(spec.cells, at), arm.spec.prefix)
                taking.append((arm, (arm.client, orders, arm.spec.setting.deadline_s)))
        warmed = await warm_up([one for _, one in taking], spec.warm_up_s, spec.warm_up_max_s, self._stopped)
        for (arm, _), how in zip(taking, warmed, strict=True):
            arm.warmed = how
            if how.error is not None:
                arm.error = describe_defect(how.error)
        return time.monotonic() - began_s

    async def _play(self, arms: Sequence[_Arm], planned: Sequence[PlannedSlice], logs: dict[int, WriteOrder]) -> None:
        played = self._played
        pids = [{pid for part in arm.spec.watch.parts.values() for pid in part} for arm in arms]
        every = set().union(*pids)
        for place, one in enumerate(planned, 1):
            at = self.spec.cells[one.spec.cell].arm
            arm = arms[at]
            if self._stopped.is_set():
                break
            if arm.client is None or arm.error is not None:
                continue
            played.first_ns = played.first_ns or time.monotonic_ns()
            slice_ = await play_slice(
                self.spec,
                arm.spec,
                arm.client,
                one,
                place=place,
                others=every - pids[at],
                company=any(not before.task.done() for before in played.slices),
                raw=logs.get(one.spec.cell),
                begun=self._begun,
            )
            played.slices.append(slice_)
            more = arm.client.duplicated - arm.duplicated
            played.duplicated[one.spec.cell] = played.duplicated.get(one.spec.cell, 0) + more
            arm.duplicated += more
            if slice_.task.done() and (error := slice_.task.exception()) is not None:
                arm.error = describe_defect(error)

    async def _finish(self, arms: Sequence[_Arm]) -> None:
        """Waits until every order that was left in flight has ended, or is given up."""
        for slice_ in self._played.slices:
            await asyncio.wait([slice_.task])
            if (error := slice_.task.exception()) is not None:
                arm = arms[self.spec.cells[slice_.planned.spec.cell].arm]
                arm.error = arm.error or describe_defect(error)

    def _whole(self) -> Iterator[PlayedSlice]:
        return (one for one in self._played.slices if one.whole and one.task.exception() is None)

    def _report_arm(self, at: int, arm: _Arm) -> ArmReport:
        everything = DriverRecord()
        for record in self._records(at, arm):
            everything.add(record)
        every = everything.all
        return ArmReport(
            error=arm.error,
            audit=DriverAudit(
                sent=every.sent,
                failed=every.failed,
                unfinished=every.unfinished,
                shipped=PackedTally.of(everything.shipped),
                rejected=PackedTally.of(everything.rejected),
            ),
            warm_up_orders=0 if arm.warmed is None else arm.warmed.record.all.sent,
        )

    def _records(self, at: int, arm: _Arm) -> Iterator[DriverRecord]:
        """Of everything that was sent to an arm, of slices that were stopped too."""
        if arm.warmed is not None:
            yield arm.warmed.record
        for slice_ in self._played.slices:
            if self.spec.cells[slice_.planned.spec.cell].arm == at:
                yield slice_.record

    def _merge_cell(self, at: int, arms: Sequence[_Arm], report: SetReport) -> TrialReport:
        spec, cell = self.spec, self.spec.cells[at]
        arm = arms[cell.arm]
        whole = merge_slices(
            f"{spec.id}c{at}", spec, [one for one in self._whole() if one.planned.spec.cell == at], self.worker
        )
        whole.error = arm.error
        whole.audit = report.arms[cell.arm].audit
        whole.duplicated = self._played.duplicated.get(at, 0)
        whole.facts = dict(arm.transport.facts())
        whole.warm_up_s = report.warm_up_s
        whole.began_ns, whole.ended_ns = report.began_ns, report.ended_ns
        if arm.warmed is not None:
            whole.steady = arm.warmed.steady
            whole.unexpected += arm.warmed.record.unexpected
        body = FirstBody.of(build_workload(spec, cell, cell.prefix), arm.spec.setting.codec)
        whole.payload_bytes, whole.gzip_share = body.size_bytes, body.gzip_share
        return whole


def describe_defect(error: BaseException) -> str:
    """Describes what ended an arm's load, in a sentence."""
    return f"its load failed with {type(error).__name__}: {error}"
