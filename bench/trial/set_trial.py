"""Runs one set: starts the services of all arms at once, has the load process play its slices, audits, removes."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.errors import LoadError, StartFailed
from bench.load import resources as cost
from bench.load.locust.control import Master, start_worker
from bench.load.protocol import ResourceWatch, TrialReport
from bench.load.sets.protocol import ArmSpec, CellSpec, SetReport, SetSpec, SliceReport
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
from bench.trial.parts import find_ports, list_parts, worker_environment
from bench.trial.program import draw_program
from bench.trial.readiness import read_negotiated_tls
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
    """The result of one set: of each cell that of a trial, and every slice."""

    cells: Sequence[tuple[CellSettings, TrialResult]]
    slices: Sequence[SliceRow]
    times: SetTimes


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
    stage: TrialContext, master: Master, arms: Sequence[Arm], cells: Sequence[CellSettings], set_: int, *, idle: bool
) -> SetResult:
    """Runs one set of these cells, which are those of the arms; a cell's place in ``cells`` is its slot.

    What goes wrong makes a cell's row invalid and is named in its caveats; only a lost master raises. ``idle``: what
    services and brokers use without any load is measured first.
    """
    begun_s = time.monotonic()
    try:
        return await _run_set(stage, master, arms, cells, set_, idle)
    except Exception as error:
        if master.process.returncode is not None:
            raise
        said = str(error) if isinstance(error, _KNOWN_ERRORS) else f"{type(error).__name__}: {error}"
        failed = TrialOutcome(report=TrialReport(trial=f"set {set_}", error=said))
        results = [(cell, build_result(cell, set_, slot, failed)) for slot, cell in enumerate(cells, 1)]
        return SetResult(cells=results, slices=(), times=SetTimes(start_s=time.monotonic() - begun_s))


async def _run_set(
    stage: TrialContext, master: Master, arms: Sequence[Arm], cells: Sequence[CellSettings], set_: int, idle: bool
) -> SetResult:
    begun_s = time.monotonic()
    async with AsyncExitStack() as outer:
        ports = iter(_find_ports(arms))
        inside = [await _enter(stage, outer, arm, cells, set_, number, ports) for number, arm in enumerate(arms, 1)]
        log = stage.logs / f"fw-{stage.run_id.rpartition('-')[2]}r{set_}-worker.log"
        worker = start_worker(master, log=log, env=worker_environment(stage), urgent=True)
        worker_error, *_ = await asyncio.gather(_enter_quietly(outer, worker), *(_start(stage, one) for one in inside))
        if idle:
            await asyncio.gather(*(_measure_idle(one) for one in inside if not one.error))
        start_s = time.monotonic() - begun_s
        up = [one for one in inside if not one.error]
        spec = _build_spec(stage, up, cells, set_)
        asked_ns = time.monotonic_ns()
        slowdown: float | None = None
        if spec is None or worker_error:
            report = SetReport(id="", error=worker_error or "no arm of the set could be started")
        else:
            report, slowdown = await _play(stage, master, spec)
        answered_ns = time.monotonic_ns()
        if report.began_ns:
            sample_ns = report.began_ns if report.began_ns < asked_ns else report.ended_ns
            for one in up:
                one.bounds["load"] = (asked_ns, sample_ns, answered_ns)
        ending_s = time.monotonic()
        await asyncio.gather(*(_audit(stage, one) for one in up))
        await asyncio.gather(*(one.stack.aclose() for one in inside))
    known = {cell.name: told for cell, told in zip(spec.cells, report.cells, strict=False)} if spec else {}
    results = [
        (cell, build_result(cell, set_, slot, _build_outcome(inside, cell, known, report, slowdown)))
        for slot, cell in enumerate(cells, 1)
    ]
    slots = {cell.name: slot for slot, cell in enumerate(cells, 1)}
    rows = [build_slice_row(set_, slots, spec, told) for told in report.slices] if spec else []
    return SetResult(
        cells=results,
        slices=rows,
        times=_tell_times(report, start_s, time.monotonic() - ending_s),
    )


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


async def _enter_quietly(outer: AsyncExitStack, worker: AbstractAsyncContextManager[Any]) -> str:
    """Starts the load process; returns why not, empty if it is there."""
    try:
        await outer.enter_async_context(worker)
    except LoadError as error:
        return str(error)
    return ""


async def _measure_idle(one: _ArmInSet) -> None:
    parts = one.watch.parts
    usage = await asyncio.gather(*(cost.measure_idle_usage(pids) for pids in parts.values()))
    one.idle_cpu_ms_per_s = {part: used.cpu_ms_per_s for part, used in zip(parts, usage, strict=True)}


def _build_spec(
    stage: TrialContext, up: Sequence[_ArmInSet], cells: Sequence[CellSettings], set_: int
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
                raw=str(stage.raw.resolve() / f"{trial_name(set_, slot, cell.name)}.csv") if stage.raw else "",
            )
            for slot, cell in playing
        ),
        slices=tuple(draw_program(len(playing), profile.slices, profile.seed, set_)),
        slice_s=profile.slice_s,
        lead_in_s=profile.lead_in_s,
        seed=derive_round_seed(profile.seed, set_),
        warm_up_s=profile.warm_up_s,
        warm_up_max_s=profile.warm_up_max_s,
    )


async def _play(stage: TrialContext, master: Master, spec: SetSpec) -> tuple[SetReport, float | None]:
    """The load process's report and the speed probe's ratio. Raises when the master is gone."""
    try:
        async with stage.speed_probe.sampling() as runs_us:
            report = await master.run_set(spec)
    except LoadError as error:
        if master.process.returncode is not None:
            raise
        return SetReport(id=spec.id, error=str(error)), None
    return report, stage.speed_probe.compute_slowdown(runs_us)


async def _audit(stage: TrialContext, one: _ArmInSet) -> None:
    silent = TrialReport(trial=one.setting.trial)
    one.books, one.stamps, one.doubts = await collect_audit(stage, one.arm.first, one.running, silent)
    one.doubts += [caveats.process_ended(broker.name) for broker in one.used if not is_broker_running(broker)]
    if one.setting.security != NONE and (one.tls is None or one.tls.cipher != CIPHER_SUITE):
        one.doubts.append(caveats.cipher_differs("none" if one.tls is None else one.tls.cipher, CIPHER_SUITE))


def _build_outcome(
    inside: Sequence[_ArmInSet],
    cell: CellSettings,
    known: Mapping[str, TrialReport],
    report: SetReport,
    slowdown: float | None,
) -> TrialOutcome:
    """What is known of one cell; its books are those of its arm."""
    one = next(one for one in inside if cell in one.arm.cells)
    if one.error or report.error or cell.name not in known:
        said = one.error or report.error or "it was not played"
        return TrialOutcome(report=TrialReport(trial=one.setting.trial, error=said))
    # Those of all arms: a server that waits uses CPU too.
    servers = [server for other in inside for server in (*other.used, *other.database)]
    unwatched = list(dict.fromkeys(server.name for server in servers if not server.pids))
    return TrialOutcome(
        report=known[cell.name],
        doubts=one.doubts,
        books=one.books,
        stamps=one.stamps,
        idle_cpu_ms_per_s=one.idle_cpu_ms_per_s,
        cpu_slowdown=slowdown,
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


def build_slice_row(set_: int, slots: Mapping[str, int], spec: SetSpec, told: SliceReport) -> SliceRow:
    """Builds the row of slices.csv; ``slots`` are by cell."""
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
        idle_cpu_ms=told.idle_cpu_ns / 1e6,
        company=int(told.company),
        **{field: getattr(told, field) for field in _SAME_FIELDS},
        **costs,
    )


def _tell_times(report: SetReport, start_s: float, end_s: float) -> SetTimes:
    slices_s = sum(told.lead_in_s + told.window_s for told in report.slices)
    costed_s = sum(told.totals.costed_s for told in report.cells if told.totals is not None)
    idle_s = sum(told.idle_cpu_ns for told in report.slices) / 1e9
    return SetTimes(
        start_s=start_s,
        warm_up_s=report.warm_up_s,
        slices_s=slices_s,
        gaps_s=max(0.0, report.played_s - slices_s) + report.drained_s,
        end_s=end_s,
        idle_cores=idle_s / costed_s if costed_s else None,
    )
