"""Runs one set: starts the services of all arms at once, has the load process play its slices, audits, removes."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.errors import LoadError, ResultsError, StartFailed
from bench.load import resources as cost
from bench.load.locust.control import Master
from bench.load.protocol import ResourceWatch, TrialReport
from bench.load.sets.books import SetBooks
from bench.load.sets.protocol import ArmSpec, CellSpec, EndedSlice, SetSpec, SliceReport
from bench.load.workload.orders import ALL_SHIP, DEFAULT_MIX
from bench.profile.arms import Arm
from bench.profile.schema import CellSettings
from bench.provision import postgres
from bench.provision.base import Broker
from bench.provision.brokers import is_broker_running
from bench.provision.ports import find_free_ports
from bench.provision.services import ServiceProcess
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.rows import SliceRow, trial_name
from bench.trial.context import TrialContext
from bench.trial.hops import find_clock_mismatch
from bench.trial.kept_dead_letters import keep_dead_letters
from bench.trial.outcome import TrialOutcome
from bench.trial.parts import find_ports, list_parts
from bench.trial.program import draw_program
from bench.trial.readiness import read_negotiated_tls
from bench.trial.set_load import SetLoad
from bench.trial.set_trend import find_set_trends
from bench.trial.tls_probe import NegotiatedTls
from bench.trial.trial import (
    TrialResult,
    build_result,
    build_setting,
    collect_audit,
    count_ports,
    derive_round_seed,
    remove_quietly,
    run_ready_services,
)
from transports.base import Setting, Transport
from transports.errors import SettingError, TransportError
from transports.security import CIPHER_SUITE, NONE
from transports.tracing import Stamp

_KNOWN_ERRORS = (TransportError, StartFailed, LoadError, SettingError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimes:
    """What a set cost beside its slices, in seconds."""

    start_s: float
    """From the first process to the last arm that is ready."""
    warm_up_s: float = 0.0
    slices_s: float = 0.0
    """Lead-ins and windows."""
    gaps_s: float = 0.0
    """Between slices: costs read, orders waited for."""
    end_s: float = 0.0
    """The audit, and the end of all processes."""
    idle_cores: float | None = None
    """What arms used that were not at work, in the mean over the slices; brokers are among them."""

    def format(self) -> str:
        """Formats the times as one line, for the progress."""
        whole_s = self.start_s + self.warm_up_s + self.slices_s + self.gaps_s + self.end_s
        line = (
            f"{whole_s:.1f} s: start {self.start_s:.1f}, warm-up {self.warm_up_s:.1f}, slices {self.slices_s:.1f}, "
            f"gaps {self.gaps_s:.1f}, audit and end {self.end_s:.1f}"
        )
        return line if self.idle_cores is None else f"{line}; arms that waited used {self.idle_cores:.2f} cores"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """The result of one set: of each cell that of a trial. Its slices were kept as they came."""

    cells: Sequence[tuple[CellSettings, TrialResult]]
    times: SetTimes
    finished: Mapping[str, int] = field(default_factory=dict)
    """Orders by cell; those of an arm's warm-up are in its first cell."""


KeepRows = Callable[[Sequence[SliceRow]], None]


@dataclass(slots=True)
class _ArmInSet:
    """An arm as far as it is up."""

    arm: Arm
    setting: Setting
    transport: Transport
    used: list[Broker]
    database: list[Broker]
    stack: AsyncExitStack
    error: str = ""
    running: Mapping[str, ServiceProcess] = field(default_factory=dict)
    tls: NegotiatedTls | None = None
    bounds: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    idle_cpu_ms_per_s: Mapping[str, float] = field(default_factory=dict)
    watch: ResourceWatch = field(default_factory=ResourceWatch)
    books: Mapping[str, Any] | None = None
    stamps: Sequence[Stamp] = ()
    doubts: list[Caveat] = field(default_factory=list)


async def run_set(
    stage: TrialContext,
    master: Master,
    arms: Sequence[Arm],
    cells: Sequence[CellSettings],
    set_: int,
    keep: KeepRows,
    *,
    idle: bool,
) -> SetResult:
    """Runs one set of these cells, which are those of the arms; a cell's place in ``cells`` is its slot.

    ``keep`` is given the rows of slices as they end. What goes wrong makes a cell's row invalid and is named in its
    caveats; only a lost master raises, and what ``keep`` does. ``idle``: what services and brokers use without any load
    is measured first.
    """
    begun_s = time.monotonic()
    try:
        return await _run_set(stage, master, arms, cells, set_, keep, idle)
    except ResultsError:
        raise
    except Exception as error:
        if master.process.returncode is not None:
            raise
        said = str(error) if isinstance(error, _KNOWN_ERRORS) else f"{type(error).__name__}: {error}"
        failed = TrialOutcome(report=TrialReport(trial=f"set {set_}", error=said))
        results = [(cell, build_result(cell, set_, slot, failed)) for slot, cell in enumerate(cells, 1)]
        return SetResult(cells=results, times=SetTimes(start_s=time.monotonic() - begun_s))


async def _run_set(
    stage: TrialContext,
    master: Master,
    arms: Sequence[Arm],
    cells: Sequence[CellSettings],
    set_: int,
    keep: KeepRows,
    idle: bool,
) -> SetResult:
    begun_s = time.monotonic()
    async with AsyncExitStack() as outer:
        ports = iter(_find_ports(arms))
        inside = [await _enter(stage, outer, arm, cells, set_, number, ports) for number, arm in enumerate(arms, 1)]
        process_of = number_processes(inside)
        processes = 1 + max(process_of.values())
        log = stage.logs / f"fw-{stage.run_id.rpartition('-')[2]}r{set_}-worker.log"
        load = SetLoad(stage, master, log)
        outer.push_async_callback(load.close)
        worker_error, *_ = await asyncio.gather(load.start(processes), *(_start(stage, one) for one in inside))
        if idle:
            await asyncio.gather(*(_measure_idle(one) for one in inside if not one.error))
        start_s = time.monotonic() - begun_s
        up = [one for one in inside if not one.error]
        spec = _build_spec(stage, up, cells, set_, process_of)
        asked_ns = time.monotonic_ns()
        slots = {cell.name: slot for slot, cell in enumerate(cells, 1)}
        books, slowdown = None, None
        error = worker_error or ("" if spec else "no arm of the set could be started")
        if spec is not None and not worker_error:

            def keep_rows(known: SetBooks, ended: Sequence[EndedSlice]) -> None:
                keep([build_slice_row(set_, slots, known.spec, one.report, known.first_ns) for one in ended])

            async with stage.speed_probe.sampling() as runs_us:
                books = await load.play(spec, keep_rows)
            slowdown = stage.speed_probe.compute_slowdown(runs_us)
            _note_load_clock(books, up, asked_ns)
        ending_s = time.monotonic()
        await asyncio.gather(*(_audit(stage, one) for one in up))
        await asyncio.gather(load.close(), *(one.stack.aclose() for one in inside))
    results = [
        (cell, build_result(cell, set_, slot, _build_outcome(inside, cell, books, set_, error, slowdown)))
        for slot, cell in enumerate(cells, 1)
    ]
    times = _tell_times(books, start_s, time.monotonic() - ending_s)
    return SetResult(cells=results, times=times, finished={} if books is None else books.count_finished())


def number_processes(arms: Sequence[_ArmInSet]) -> dict[str, int]:
    """Numbers the load processes: one for all arms with services of their own, and one for each other arm."""
    shared = any(not one.transport.traits.in_process for one in arms)
    alone = iter(range(int(shared), len(arms) + 1))
    return {one.setting.trial: next(alone) if one.transport.traits.in_process else 0 for one in arms}


def _note_load_clock(books: SetBooks, up: Sequence[_ArmInSet], asked_ns: int) -> None:
    """Enters the load process's clock at the beginning if it lags there, else at the end, where it may be ahead."""
    if books.began_ns:
        sample_ns = books.began_ns if books.began_ns < asked_ns else books.ended_ns
        for one in up:
            one.bounds["load"] = (asked_ns, sample_ns, time.monotonic_ns())


def _find_ports(arms: Sequence[Arm]) -> Sequence[int]:
    """Ports for the services of all arms: all chosen at once, so that none is chosen twice."""
    count = sum(count_ports(arm.first.profile) for arm in arms)
    first = arms[0].first.profile.ports
    return find_free_ports(count) if first is None else range(first, first + count)


async def _enter(
    stage: TrialContext,
    outer: AsyncExitStack,
    arm: Arm,
    cells: Sequence[CellSettings],
    set_: int,
    number: int,
    ports: Iterator[int],
) -> _ArmInSet:
    """Builds what an arm is; nothing is started yet."""
    cell = arm.first
    trial = f"fw-{stage.run_id.rpartition('-')[2]}r{set_}a{number}"
    setting = build_setting(stage, cell, trial, [next(ports) for _ in range(count_ports(cell.profile))])
    transport = cell.kind(setting)
    used = [stage.brokers[name] for name in transport.traits.needs if name in stage.brokers]
    database = [stage.brokers[postgres.NAME]] if cell.needs_database else []
    stack = await outer.enter_async_context(AsyncExitStack())
    stack.push_async_callback(remove_quietly, transport)
    if stage.dead_letters is not None:
        slot = [one.name for one in cells].index(cell.name) + 1
        letters = stage.dead_letters / f"{trial_name(set_, slot, cell.name)}.jsonl"
        stack.push_async_callback(keep_dead_letters, transport, letters)
    return _ArmInSet(arm, setting, transport, used, database, stack)


async def _start(stage: TrialContext, one: _ArmInSet) -> None:
    """Starts the services of an arm; says why not in ``error``, so that the others go on."""
    try:
        await one.transport.prepare()
        services = run_ready_services(stage, one.arm.first, one.setting, one.transport)
        one.running = await one.stack.enter_async_context(services)
        one.tls = await read_negotiated_tls(one.setting, one.transport)
        one.bounds = {name: await service.clock() for name, service in one.running.items()}
    except _KNOWN_ERRORS as error:
        one.error = str(error)
        return
    parts = list_parts(one.running, one.used, one.database)
    one.watch = ResourceWatch(parts=parts, ports=find_ports(one.transport, one.setting))


async def _measure_idle(one: _ArmInSet) -> None:
    parts = one.watch.parts
    usage = await asyncio.gather(*(cost.measure_idle_usage(pids) for pids in parts.values()))
    one.idle_cpu_ms_per_s = {part: used.cpu_ms_per_s for part, used in zip(parts, usage, strict=True)}


def _build_spec(
    stage: TrialContext,
    up: Sequence[_ArmInSet],
    cells: Sequence[CellSettings],
    set_: int,
    process_of: Mapping[str, int],
) -> SetSpec | None:
    """The set's program for the arms that are up; None without any."""
    if not up:
        return None
    arm_of = {cell.name: at for at, one in enumerate(up) for cell in one.arm.cells}
    playing = [(slot, cell) for slot, cell in enumerate(cells, 1) if cell.name in arm_of]
    profile, run = cells[0].profile, stage.run_id.rpartition("-")[2]
    return SetSpec(
        id=f"fw-{run}r{set_}",
        arms=tuple(
            ArmSpec(
                transport=one.arm.first.transport,
                setting=one.setting,
                prefix=f"{run}r{set_}w{at}",
                watch=one.watch,
                process=process_of[one.setting.trial],
                store=one.arm.first.profile.store,
            )
            for at, one in enumerate(up)
        ),
        cells=tuple(
            CellSpec(
                name=cell.name,
                arm=arm_of[cell.name],
                prefix=f"{run}r{set_}s{slot}",
                orders_per_s=cell.rate_per_s,
                arrivals=cell.profile.arrivals,
                payload_bytes=cell.profile.payload_bytes,
                shape=cell.profile.shape,
                compressible=cell.profile.compressible,
                mix=DEFAULT_MIX if cell.kind.traits.runs_shop else ALL_SHIP,
                raw=str(stage.raw.resolve() / f"{trial_name(set_, slot, cell.name)}.csv") if stage.raw else "",
            )
            for slot, cell in playing
        ),
        processes=1 + max(process_of.values()),
        slices=tuple(draw_program(len(playing), profile.slices, profile.seed, set_)),
        slice_s=profile.slice_s,
        lead_in_s=profile.lead_in_s,
        seed=derive_round_seed(profile.seed, set_),
        warm_up_s=profile.warm_up_s,
        warm_up_max_s=profile.warm_up_max_s,
    )


async def _audit(stage: TrialContext, one: _ArmInSet) -> None:
    silent = TrialReport(trial=one.setting.trial)
    one.books, one.stamps, one.doubts = await collect_audit(stage, one.arm.first, one.running, silent)
    one.doubts += [caveats.process_ended(broker.name) for broker in one.used if not is_broker_running(broker)]
    if one.setting.security != NONE and (one.tls is None or one.tls.cipher != CIPHER_SUITE):
        one.doubts.append(caveats.cipher_differs("none" if one.tls is None else one.tls.cipher, CIPHER_SUITE))


def _build_outcome(
    inside: Sequence[_ArmInSet],
    cell: CellSettings,
    books: SetBooks | None,
    set_: int,
    error: str,
    slowdown: float | None,
) -> TrialOutcome:
    """What is known of one cell; its books are those of its arm."""
    one = next(one for one in inside if cell in one.arm.cells)
    names = [] if books is None else [known.name for known in books.spec.cells]
    if one.error or books is None or cell.name not in names:
        said = one.error or error or "it was not played"
        return TrialOutcome(report=TrialReport(trial=one.setting.trial, error=said))
    at = names.index(cell.name)
    arm = books.arms[books.spec.cells[at].arm]
    # Those of all arms: a server that waits uses CPU too.
    servers = [server for other in inside for server in (*other.used, *other.database)]
    unwatched = list(dict.fromkeys(server.name for server in servers if not server.pids))
    return TrialOutcome(
        report=books.merge_cell(at),
        doubts=one.doubts if arm.is_complete else [*one.doubts, caveats.slices_lost(arm.lost_slices)],
        remarks=[caveats.set_disturbed(set_, books.happened)] if books.happened else (),
        books=(one.books or arm.services_audit) if arm.is_complete else None,
        stamps=one.stamps or arm.stamps,
        idle_cpu_ms_per_s=one.idle_cpu_ms_per_s,
        cpu_slowdown=slowdown,
        set_trend=find_set_trends(ended.report for ended in books.slices).get(at),
        tls=one.tls,
        clock_mismatch=find_clock_mismatch(one.bounds),
        counts_wire=bool(one.watch.ports),
        unwatched=unwatched,
        knows_all_processes=not unwatched,
    )


_SAME_FIELDS = tuple(
    field
    for field in SliceRow.__struct_fields__
    if field in SliceReport.__struct_fields__
    if field not in ("cell", "company")
)
"""Of a slice, what its report and its row call the same."""


def build_slice_row(set_: int, slots: Mapping[str, int], spec: SetSpec, told: SliceReport, first_ns: int) -> SliceRow:
    """Builds the row of slices.csv; ``slots`` are by cell, ``first_ns`` is when the set's first slice began."""
    name = spec.cells[told.cell].name
    parts = ("services", "broker", "database", "driver")
    costs: dict[str, Any] = {
        f"cpu_us_per_order_{part}": told.cpu_ns[part] / 1e3 / told.costed_orders
        if part in told.cpu_ns and told.costed_orders
        else None
        for part in parts
    }
    return SliceRow(
        round=set_,
        slot=slots[name],
        cell=name,
        slice=told.number,
        begins_s=(told.begins_ns - first_ns) / 1e9,
        idle_cpu_ms=told.idle_cpu_ns / 1e6,
        company=int(told.company),
        **{field: getattr(told, field) for field in _SAME_FIELDS},
        **costs,
    )


def _tell_times(books: SetBooks | None, start_s: float, end_s: float) -> SetTimes:
    if books is None:
        return SetTimes(start_s=start_s, end_s=end_s)
    slices_s = sum(one.report.lead_in_s + one.report.window_s for one in books.slices)
    costed_s = sum(one.usage.machine.duration_s for one in books.slices if one.usage.machine is not None)
    idle_s = sum(one.usage.idle_cpu_ns for one in books.slices) / 1e9
    return SetTimes(
        start_s=start_s,
        warm_up_s=books.warm_up_s,
        slices_s=slices_s,
        gaps_s=max(0.0, books.played_s - slices_s) + books.drained_s,
        end_s=end_s,
        idle_cores=idle_s / costed_s if costed_s else None,
    )
