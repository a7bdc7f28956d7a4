"""Plays a set in one load process: connects to all arms, warms them, plays the slices, tells what came of them."""

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
from bench.load.recorder import DriverRecord, PackedRecord
from bench.load.scheduling import describe_priority
from bench.load.session import HostedServices, audit_hosted, host_services
from bench.load.sets.plan import PlannedSlice, build_workload, find_warm_up_cell, plan_slices
from bench.load.sets.player import BegunSlice, PlayedSlice, play_slice, read_cpu_ns
from bench.load.sets.protocol import ArmReport, ArmSpec, SetNews, SetReport, SetSpec
from bench.load.sets.turns import Turns
from bench.load.sets.warm_up import WarmedArm, warm_up
from transports import registry
from transports.base import Client, Transport
from transports.errors import TransportError

Tell = Callable[[SetNews], Awaitable[None]]


@dataclass(slots=True)
class _Arm:
    spec: ArmSpec
    transport: Transport
    client: Client | None = None
    hosted: HostedServices | None = None
    error: str | None = None
    warmed: WarmedArm | None = None
    duplicated: int = 0
    """Outcomes beyond the first of an order that a slice has been given."""
    warm_up: PackedRecord | None = None
    told: tuple[str | None, bool, dict[str, str]] | None = None
    """What was in the news: its error, whether it was warmed, and its facts."""

    @property
    def pids(self) -> set[int]:
        return {pid for part in self.spec.watch.parts.values() for pid in part}

    def find_death(self) -> str | None:
        """Says which part has processes that have ended, if any has."""
        for part, pids in self.spec.watch.parts.items():
            if gone := set(pids) - read_cpu_ns(pids).keys():
                return f"of its {part} {len(gone)} of {len(pids)} processes ended in the set"
        return None


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
    told: set[int] = field(default_factory=set)
    """Places of slices that were in the news."""
    first_ns: int = 0


class SetSession:
    """One set, or the rest of one, in one load process.

    ``run`` raises nothing that went wrong in it: its report says so. It ends early where an order could not be
    cancelled, since its process has to be ended then.
    """

    def __init__(self, spec: SetSpec, worker: int) -> None:
        self.spec = spec
        self.worker = worker
        self.trace = ""
        """Where an unforeseen error came from."""
        self.report: SetReport | None = None
        self.reported = asyncio.Event()
        """Set once ``report`` is there, before the clients are closed."""
        self._turns = Turns(spec.id, worker, spec.processes)
        self._begun = BegunSlice()
        self._stopped = asyncio.Event()
        self._played = _Played()
        self._shown_up_to = 0

    def stop(self) -> None:
        """Stops sending and drains; what was played is reported. Idempotent."""
        self._stopped.set()
        self._begun.stop()
        self._turns.end()

    def take_shown(self) -> Iterator[ShownSlice]:
        """Yields the slices that are going on, or have ended since they were last taken."""
        played = self._played.slices
        names = [cell.name for cell in self.spec.cells]
        for one in played[self._shown_up_to :]:
            yield ShownSlice(one.place, names[one.planned.spec.cell], one.record, one.task.done())
        while self._shown_up_to < len(played) and played[self._shown_up_to].task.done():
            self._shown_up_to += 1

    async def run(self, connected: Callable[[], Awaitable[None]], tell: Tell) -> SetReport:
        """Plays the set and returns its report; ``connected`` is called once before the first order.

        ``tell`` is given each slice once its orders have ended, before another slice begins.
        """
        try:
            return await self._run(connected, tell)
        except (TransportError, ValueError, OSError) as error:
            sentence = str(error)
        except Exception as error:  # noqa: BLE001 - the conductor is told, whatever it was
            self.trace = traceback.format_exc()
            sentence = f"load worker {self.worker} failed with {type(error).__name__}: {error}"
        return SetReport(id=self.spec.id, error=sentence)

    async def _run(self, connected: Callable[[], Awaitable[None]], tell: Tell) -> SetReport:
        spec, began_ns = self.spec, time.monotonic_ns()
        if self.worker >= spec.processes:
            raise ValueError(f"set {spec.id} is for {spec.processes} load processes, and this is one more")
        # A thread, since the master takes a worker that plans for seconds without a heartbeat for dead.
        planned = await asyncio.to_thread(plan_slices, spec)
        async with AsyncExitStack() as stack:
            self._turns.listen()
            stack.callback(self._turns.close)
            stack.push(self._tell_others)
            arms = [await self._connect(stack, arm) for arm in spec.arms]
            logs = {
                at: stack.enter_context(open_order_log(Path(cell.raw), goes_on=spec.from_place > 1))
                for at, cell in enumerate(spec.cells)
                if cell.raw and spec.arms[cell.arm].process == self.worker
            }
            await connected()
            await self._tell(arms, None, tell)
            warm_up_s = await self._warm_up(arms)
            await self._tell(arms, None, tell)
            for arm in arms:
                for pids in arm.spec.watch.parts.values():
                    cost.reset_peak_memory(pids)
            # Once a set: a collection before each slice would empty the caches that the slice before has filled.
            with pause_gc(disable=True):
                try:
                    await self._play(arms, planned, logs, tell)
                    ended_ns = time.monotonic_ns()
                    await self._tell(arms, 0, tell)
                    await self._finish(arms)
                    await self._tell(arms, 0, tell, ends=True)
                finally:
                    for one in self._played.slices:
                        one.task.cancel()
            self.report = SetReport(
                id=spec.id,
                warm_up_s=warm_up_s,
                played_s=(ended_ns - (self._played.first_ns or ended_ns)) / 1e9,
                drained_s=(time.monotonic_ns() - ended_ns) / 1e9,
                began_ns=began_ns,
                ended_ns=time.monotonic_ns(),
            )
            self.reported.set()
            return self.report

    def _tell_others(self, kind: type[BaseException] | None, *_: object) -> None:
        """Tells the other processes that no turn will come from one that failed."""
        if kind is not None:
            self._turns.end()

    async def _connect(self, stack: AsyncExitStack, spec: ArmSpec) -> _Arm:
        arm = _Arm(spec, registry.load_transport(spec.transport, spec.setting.product)(spec.setting))
        if spec.process != self.worker:
            return arm
        if spec.left_out:
            arm.error = spec.left_out
            return arm
        try:
            if arm.transport.traits.in_process:
                arm.hosted = await host_services(arm.transport, stack, spec.store)
            arm.client = await stack.enter_async_context(arm.transport.connect())
        except TransportError as error:
            arm.error = str(error)
        except Exception as error:  # noqa: BLE001 - a client's defect is its own arm's alone
            arm.error = describe_defect(error)
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
            arm.warmed, arm.warm_up = how, how.record.pack()
            if how.error is not None:
                arm.error = describe_defect(how.error)
        return time.monotonic() - began_s

    async def _play(
        self, arms: Sequence[_Arm], planned: Sequence[PlannedSlice], logs: dict[int, WriteOrder], tell: Tell
    ) -> None:
        owners = [self.spec.arms[self.spec.cells[one.spec.cell].arm].process for one in planned]
        await self._turns.meet()
        if owners[self.spec.from_place - 1] == self.worker:
            self._turns.pass_on(self.spec.from_place, self.worker, busy=False)
        for place, one in enumerate(planned, 1):
            if place < self.spec.from_place or owners[place - 1] != self.worker:
                continue
            busy = await self._turns.wait(place)
            if self._stopped.is_set() or self._turns.ended or self._count_left_behind(arms):
                break
            await self._take_turn(arms, place, one, busy, logs.get(one.spec.cell), tell)
            if place < len(owners):
                if owners[place] != self.worker:
                    await self._tell(arms, None, tell)
                self._turns.pass_on(place + 1, owners[place], busy=self._has_orders_in_flight())
        else:
            return
        self._turns.end()

    async def _take_turn(
        self, arms: Sequence[_Arm], place: int, one: PlannedSlice, busy: bool, raw: WriteOrder | None, tell: Tell
    ) -> None:
        """Plays the slice, unless its arm has ended. ``busy``: another process has orders in flight."""
        played, at = self._played, self.spec.cells[one.spec.cell].arm
        arm = arms[at]
        if arm.client is None or arm.error is not None:
            return
        if (death := arm.find_death()) is not None:
            arm.error = death
            return
        played.first_ns = played.first_ns or time.monotonic_ns()
        await self._tell(arms, place, tell)
        slice_ = await play_slice(
            self.spec,
            arm.spec,
            arm.client,
            one,
            place=place,
            others=set().union(*(other.pids for other in arms)) - arm.pids,
            company=busy or self._has_orders_in_flight(),
            raw=raw,
            begun=self._begun,
            watches_loop=arm.hosted is None and arm.spec.setting.trace_every > 0,
        )
        played.slices.append(slice_)
        slice_.duplicated = arm.client.duplicated - arm.duplicated
        arm.duplicated = arm.client.duplicated
        if slice_.task.done() and (error := slice_.task.exception()) is not None:
            arm.error = describe_defect(error)

    def _has_orders_in_flight(self) -> bool:
        return any(not slice_.task.done() for slice_ in self._played.slices)

    async def _finish(self, arms: Sequence[_Arm]) -> None:
        """Waits until every order that was left in flight has ended, or is given up."""
        for slice_ in self._played.slices:
            await asyncio.wait([slice_.task])
            if (error := slice_.task.exception()) is not None:
                arm = arms[self.spec.cells[slice_.planned.spec.cell].arm]
                arm.error = arm.error or describe_defect(error)

    def _count_left_behind(self, arms: Sequence[_Arm]) -> int:
        of_warm_ups = sum(arm.warmed.left_behind for arm in arms if arm.warmed is not None)
        return of_warm_ups + sum(slice_.driver.left_behind for slice_ in self._played.slices)

    async def _tell(self, arms: Sequence[_Arm], next_place: int | None, tell: Tell, *, ends: bool = False) -> None:
        """Tells what has come since the last time; ``next_place`` as in SetNews. ``ends``: of services here as well."""
        slices = []
        for slice_ in self._played.slices:
            if slice_.task.done() and slice_.place not in self._played.told:
                self._played.told.add(slice_.place)
                slices.append(slice_.end(self.spec))
        changed = []
        for at, arm in enumerate(arms):
            if arm.spec.left_out or arm.spec.process != self.worker:
                continue
            known = arm.error, arm.warmed is not None, dict(arm.transport.facts())
            if known != arm.told or (ends and arm.hosted is not None):
                arm.told = known
                changed.append(_report_arm(at, arm, known[2]))
        await tell(SetNews(next=next_place, first_ns=self._played.first_ns, arms=changed, slices=slices))


def _report_arm(at: int, arm: _Arm, facts: dict[str, str]) -> ArmReport:
    audits, stamps = (None, []) if arm.hosted is None else audit_hosted(arm.hosted)
    return ArmReport(
        services_audit=audits,
        stamps=stamps,
        arm=at,
        error=arm.error,
        warm_up=arm.warm_up,
        steady=arm.warmed is None or arm.warmed.steady,
        left_behind=0 if arm.warmed is None else arm.warmed.left_behind,
        facts=facts,
        driver_priority=describe_priority(),
    )


def describe_defect(error: BaseException) -> str:
    """Describes what ended an arm's load, in a sentence."""
    return f"its load failed with {type(error).__name__}: {error}"
