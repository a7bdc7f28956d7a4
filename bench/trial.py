"""One trial, from its queues and processes to its row: prepare, serve, probe, load, audit, remove."""

import asyncio
import contextlib
import itertools
import math
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench import audit, caveats, cost, validity
from bench.artefacts import artefacts
from bench.canary import Canary
from bench.caveats import Caveat
from bench.cells import Cell, at
from bench.hlog import Interval, Percentiles, empty_histogram, intervals, percentiles
from bench.hops import Step, agree, steps
from bench.load.locust import LoadError, Master, worker
from bench.load.trace import Trace
from bench.load.trial import HISTOGRAMS, TrialReport, TrialSpec, Watch
from bench.outage import Outage
from bench.profile import Profile
from bench.provision import Broker, alive, free_ports
from bench.provision.base import StartFailed
from bench.provision.process import belonging_to
from bench.provision.services import ServiceProcess, services
from bench.rows import Trial, trial_name
from bench.stats.little import little_gap
from bench.trouble import troubled
from bench.workload import probe
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.errors import SettingError, TransportError
from transports.registry import named
from transports.trace import Stamp

PROBE_S = 10.0
PROBE_AGAIN_S = 3.0
PROBE_PAUSE_S = 0.1
WARM_CLIENTS = 4
"""In flight while a broker is warmed: few, so that it sees as many requests as possible and not large batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the trials of a run share."""

    run_id: str
    profile: Profile
    brokers: Mapping[str, Broker]
    folder: Path
    """Marks processes as the run's own and holds the services' databases."""
    logs: Path
    raw: Path | None = None
    """Where every order is kept, trial by trial."""
    canary: Canary = field(default_factory=Canary)


@dataclass(frozen=True, slots=True)
class Measured:
    row: Trial
    histograms: Mapping[str, HdrHistogram]
    facts: Mapping[str, str]
    """Of the transport as it turned out to be."""
    idle_cpu_ms_per_s: Mapping[str, float]
    """What services and broker burnt before the load came; empty unless it was asked for."""
    steps: Sequence[Step] = ()
    """Where the time of the sampled orders went."""
    intervals: Sequence[Interval] = ()
    """Every percentile with what it may be within the trial."""
    outage: Outage | None = None
    """What a fault did, where there was one."""


def _id(stage: Stage, round_: int, slot: int) -> str:
    return f"fw-{stage.run_id.rpartition('-')[2]}r{round_}s{slot}"


def setting_of(stage: Stage, cell: Cell, trial: str) -> Setting:
    """Everything the transport may know, with free ports for the services."""
    profile = stage.profile
    needs = named(cell.transport).traits.needs
    count = len(SERVICES) * profile.processes
    ports = iter(free_ports(count) if profile.ports is None else range(profile.ports, profile.ports + count))
    return Setting(
        trial=trial,
        addresses={name: ",".join(f"127.0.0.1:{next(ports)}" for _ in range(profile.processes)) for name in SERVICES},
        processes=profile.processes,
        servers={name: stage.brokers[name].url for name in needs if name in stage.brokers},
        codec=cell.codec,
        compression=cell.compression,
        security=profile.security,
        durability=profile.durability,
        max_message_bytes=profile.max_message_bytes,
        deadline_s=profile.deadline_s,
        trace_every=profile.hops_every,
        options=dict(cell.options),
    )


async def measure(stage: Stage, master: Master, cell: Cell, *, round_: int, slot: int, idle: bool = False) -> Measured:
    """Run one trial. What goes wrong in it makes it invalid and says why in its caveats; nothing is raised for it."""
    trial = _id(stage, round_, slot)
    stage = replace(stage, profile=at(stage.profile, cell))
    try:
        return await _measure(stage, master, cell, trial, round_, slot, idle)
    except Exception as error:
        if master.process.returncode is not None:
            raise
        known = isinstance(error, TransportError | StartFailed | LoadError | SettingError)
        said = f"{error}" if known else f"{type(error).__name__}: {error}"
        doubt = Caveat("failed", f"{cell.name}: {said}", "read the logs in the run's folder")
        empty = TrialReport(trial=trial)
        return Measured(_row(stage, cell, round_, slot, empty, [doubt], 0), {}, {}, {})


async def _measure(
    stage: Stage, master: Master, cell: Cell, trial: str, round_: int, slot: int, idle: bool
) -> Measured:
    setting = setting_of(stage, cell, trial)
    transport = named(cell.transport)(setting)
    used = [stage.brokers[name] for name in transport.traits.needs if name in stage.brokers]
    broker_pids = tuple(pid for broker in used for pid in broker.pids)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        begun_s = time.monotonic()
        running = await stack.enter_async_context(serving(stage, cell, setting, transport))
        ready_s = time.monotonic() - begun_s if running else None
        bounds = {name: await service.clock() for name, service in running.items()}
        await stack.enter_async_context(
            worker(master, log=stage.logs / f"{trial}-worker.log", env=belonging_to(stage.folder), urgent=True)
        )
        parts = {"services": tuple(service.pid for service in running.values()), "broker": broker_pids}
        parts = {part: pids for part, pids in parts.items() if pids}
        burnt = {part: (await cost.idle(pids)).cpu_ms_per_s for part, pids in parts.items()} if idle else {}
        watch = Watch(parts=parts, ports=_ports(transport, setting, used))
        spec = spec_of(stage, cell, setting, round_, watch, duration_s=stage.profile.duration_s)
        fault = stage.profile.fault
        if (raw := stage.raw or (stage.folder if fault is not None else None)) is not None:
            spec = msgspec.structs.replace(spec, raw=str(raw.resolve() / f"{trial_name(round_, slot, cell.name)}.csv"))
        asked_ns = time.monotonic_ns()
        async with stage.canary.beside() as runs_us, troubled(master, spec, fault, running, broker_pids) as trouble:
            report = await master.run(spec)
        if report.planned:
            bounds["load"] = (asked_ns, _telling_ns(report, asked_ns), time.monotonic_ns())
        clocks = agree(bounds)
        slowness = stage.canary.slowness(runs_us)
        books, stamps, doubts = report.services_audit, report.stamps, []
        try:
            if running:
                books, stamps = await _told(running, shared=stage.profile.store == "sqlite")
        except StartFailed as error:
            name = "silent" if all(service.alive for service in running.values()) else "died"
            doubts = [Caveat(name, f"{cell.name}: {error}", "read the logs in the run's folder")]
        if report.planned and trouble.missing:
            doubts.append(Caveat("fault", trouble.missing, "raise DURATION, or lower FAULT_AT or FAULT_FOR"))
        lost = 0
        if books is not None:
            doubts += [caveats.broken_audit(problem) for problem in audit.problems(report.audit, books)]
            lost = audit.lost(report.audit, report.accepted_unfinished, books)
    doubts += [caveats.died(broker.name) for broker in used if not alive(broker)]
    alone = all(broker.pids for broker in used)
    row = _row(stage, cell, round_, slot, report, doubts, lost, slowness, alone=alone)
    wire = caveats.of_wire(report.wire_bytes, report.connections_closed) if report.planned and watch.ports else ()
    hints = (*row.caveats, *([caveats.other_clock(clocks)] if clocks else []), *wire)
    row = msgspec.structs.replace(row, ready_s=ready_s, caveats=hints)
    histograms = {name: _hdr(report, name) for name in HISTOGRAMS}
    facts = {**report.facts, "driver_priority": report.driver_priority} if report.planned else {}
    outage = trouble.outage(round_=round_, slot=slot, cell=cell.name) if report.planned else None
    within = [line for name, lost_ in _censored(report).items() for line in intervals(name, histograms[name], lost_)]
    return Measured(row, histograms, facts, burnt, () if clocks else steps(report.sampled, stamps), within, outage)


async def _told(running: Mapping[str, ServiceProcess], *, shared: bool) -> tuple[dict[str, Any], list[Stamp]]:
    """The services' books and stamps. Raises StartFailed when one does not answer."""
    books = [(service.name, await service.audit()) for service in running.values()]
    stamps = [stamp for service in running.values() for stamp in await service.stamps()]
    return audit.together(books, shared=shared), stamps


async def warm(stage: Stage, master: Master, cell: Cell, slot: int) -> None:
    """Use the cell's broker as a trial does, with as many orders as it takes, and count nothing.

    A JVM is slow until it has compiled what is used (docs/method.md, "Warm"). ``slot`` tells warm-ups apart. Raises
    TransportError, StartFailed or LoadError.
    """
    stage = replace(stage, profile=at(stage.profile, cell))
    setting = setting_of(stage, cell, _id(stage, 0, slot))
    transport = named(cell.transport)(setting)
    async with AsyncExitStack() as open_:
        open_.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        await open_.enter_async_context(serving(stage, cell, setting, transport))
        log = stage.logs / f"{setting.trial}-worker.log"
        await open_.enter_async_context(worker(master, log=log, env=belonging_to(stage.folder), urgent=True))
        spec = spec_of(stage, cell, setting, 0, Watch(), duration_s=stage.profile.broker_warm_up_s)
        await master.run(msgspec.structs.replace(spec, mode="closed", users=WARM_CLIENTS, warm_up_s=0.0))


@contextlib.asynccontextmanager
async def serving(
    stage: Stage, cell: Cell, setting: Setting, transport: Transport
) -> AsyncIterator[Mapping[str, ServiceProcess]]:
    """The services, proven ready by an order that goes through them; none where they live in the driver."""
    if transport.traits.in_process:
        yield {}
        return
    store_folder = None
    if stage.profile.store == "sqlite":
        store_folder = stage.folder / setting.trial
        store_folder.mkdir()
    async with services(
        cell.transport, setting, folder=stage.folder, logs=stage.logs, store_folder=store_folder
    ) as running:
        await probed(transport)
        yield running


async def probed(transport: Transport) -> None:
    """An order through the whole chain and back; another when it fails or is lost. Raises StartFailed if none comes."""
    why = ""
    try:
        async with transport.connect() as client, asyncio.timeout(PROBE_S):
            for number in itertools.count():
                try:
                    async with asyncio.timeout(PROBE_AGAIN_S):
                        await (await client.submit(probe(f"ready-{number}"))).finished
                        return
                except TransportError as error:
                    why = f": {error}"
                    await asyncio.sleep(PROBE_PAUSE_S)
                except TimeoutError:
                    why = ""
    except TimeoutError as error:
        raise StartFailed(f"no probe order came back within {PROBE_S:g} s{why}") from error


async def remove_quietly(transport: Transport) -> None:
    """What is left when a broker is gone goes with the broker."""
    with contextlib.suppress(Exception):
        await transport.remove()


def spec_of(
    stage: Stage, cell: Cell, setting: Setting, round_: int, watch: Watch, *, duration_s: float | None
) -> TrialSpec:
    """What the load process is asked for; ``duration_s`` None: until it is stopped."""
    profile = stage.profile
    users = max(1, round(cell.rate_per_s))
    return TrialSpec(
        id=setting.trial,
        transport=cell.transport,
        setting=setting,
        # The same plan for every cell of a round, so that differences are paired.
        seed=seed_of(profile.seed, round_),
        payload_bytes=profile.payload_bytes,
        shape=profile.shape,
        compressible=profile.compressible,
        arrivals=profile.arrivals,
        step=profile.step,
        burst=profile.burst,
        # The load process may have another working directory.
        trace=profile.trace and Trace(path=str(Path(profile.trace.path).resolve()), sha256=profile.trace.sha256),
        users=users,
        orders_per_s_per_user=cell.rate_per_s / users,
        warm_up_s=profile.warm_up_s,
        warm_up_max_s=profile.warm_up_max_s,
        duration_s=duration_s,
        drain_s=profile.deadline_s,
        watch=watch,
    )


def seed_of(seed: int, round_: int) -> int:
    """Of a round: neighbouring seeds share no round."""
    return int.from_bytes(blake2b(f"{seed}:{round_}".encode(), digest_size=6).digest())


def _ports(transport: Transport, setting: Setting, used: list[Broker]) -> tuple[int, ...]:
    """Where the method's bytes pass: at the services, or at the broker. Nowhere known where a URL names no port."""
    if transport.traits.in_process:
        return ()
    where = [broker.url for broker in used] or setting.addresses.values()
    return tuple(int(port) for address in where for port in re.findall(r":(\d+)(?=[/,?]|$)", address))


def _hdr(report: TrialReport, name: str) -> HdrHistogram:
    packed = report.histograms.get(name)
    return empty_histogram() if packed is None else HdrHistogram.decode(packed.hdr)


def _censored(report: TrialReport) -> dict[str, int]:
    """By series, the orders that have no such latency and count as slower than all that have."""
    unfinished = report.planned - report.finished
    return {
        "accept": report.planned - report.accepted,
        "finish": unfinished,
        "finish_service": unfinished,
        "accept_service": report.planned - report.accepted,
        "lateness": report.not_sent,
    }


def _percentiles(report: TrialReport, series: str) -> Percentiles:
    return percentiles(_hdr(report, series), _censored(report)[series])


def health_of(
    report: TrialReport, slowness: float | None, *, steady: bool = True, alone: bool = True, keeps_up: bool = True
) -> validity.Health:
    """What is judged of a trial; ``slowness`` is the canary's, ``steady`` are arrivals whose rate does not vary.

    ``keeps_up`` is asked of a method unless a part of it was taken away.
    """
    if not report.planned or not report.window_s:
        return validity.Health(slowness=slowness)
    machine, used = report.machine, report.driver_cpu_ns + sum(part.cpu_ns for part in report.costs.values())
    cores = os.cpu_count() or 1
    return validity.Health(
        achieved_share=report.achieved_per_s * report.window_s / report.planned,
        ended_share=_ended_share(report) if keeps_up else None,
        edge_share=3 * math.sqrt(2 * report.in_flight_mean) / report.planned,
        lateness_p50_us=_percentiles(report, "lateness").p50_us,
        response_p99_us=_percentiles(report, "finish").p99_us,
        service_p99_us=_percentiles(report, "finish_service").p99_us,
        gap=validity.gap_test(*(report.histogram(name).counts() for name in ("gap_sent", "gap_planned"))),
        driver_share=report.driver_cpu_ns / 1e9 / report.window_s / report.workers,
        little=little_gap(report.in_flight_mean, report.in_flight_by_instants)
        if report.in_flight_by_instants
        else None,
        backlog_grew=steady and validity.backlog_grew(report.in_flight_slices, report.planned),
        steal_share=None if machine is None else machine.steal_s / machine.duration_s / cores,
        others_cores=None if machine is None or not alone else (machine.busy_s - used / 1e9) / machine.duration_s,
        slowness=slowness,
    )


def _telling_ns(report: TrialReport, asked_ns: int) -> int:
    """The load process's clock at its beginning if that shows that it lags, else at its end, where it may be ahead."""
    return report.began_ns if report.began_ns < asked_ns else report.ended_ns


def _ended_share(report: TrialReport) -> float | None:
    """Orders that ended while the window was open, over those that ever did or were not sent; None if none did.

    In an overload most of the planned orders end after the window, as long as they are waited for.
    """
    ever = report.planned - report.unfinished
    return (report.achieved_per_s * report.window_s + report.failed) / ever if ever else None


def _row(
    stage: Stage,
    cell: Cell,
    round_: int,
    slot: int,
    report: TrialReport,
    doubts: list[Caveat],
    lost: int,
    slowness: float | None = None,
    *,
    alone: bool = True,
) -> Trial:
    """``alone``: every process that serves the trial is known, so that all other CPU is somebody else's."""
    profile = stage.profile
    broken = list(doubts)
    if report.error:
        broken.append(Caveat("failed", f"{cell.name}: {report.error}", "read the logs in the run's folder"))
    elif not report.planned and not broken:
        broken.append(caveats.empty(profile.offered_per_s(cell.rate_per_s), report.window_s))
    if report.unexpected:
        broken.append(caveats.broken_audit(f"{report.unexpected:,} outcomes were not the planned ones"))
    missing = report.failed or report.unfinished or report.not_sent
    censored = [caveats.incomplete(report.failed, report.unfinished + report.not_sent)] if missing else []
    whole = profile.fault is None
    steady = whole and profile.arrivals in ("poisson", "constant")
    health = health_of(report, slowness, steady=steady, alone=alone, keeps_up=whole)
    unhealthy = validity.doubts(health)
    hints = artefacts(
        report.histogram("finish").counts(),
        needs=named(cell.transport).traits.needs,
        offered_per_s=profile.offered_per_s(cell.rate_per_s),
        achieved_per_s=report.achieved_per_s,
    )
    if not report.steady:
        hints.append(caveats.unsteady(report.warm_up_s))
    hints.extend(validity.remarks(health))
    # What was used between the edges of the window went into what finished between them.
    orders = report.achieved_per_s * report.window_s
    parts = {part: spent for part, spent in report.costs.items() if not spent.died}

    def per_order(part: str) -> float | None:
        return parts[part].cpu_ns / 1e3 / orders if part in parts and orders else None

    wire = report.wire_bytes
    return Trial(
        round=round_,
        slot=slot,
        cell=cell.name,
        transport=cell.transport,
        client=cell.client,
        codec=cell.codec,
        compression=cell.compression,
        shape=profile.shape,
        compressible=profile.compressible,
        order_bytes=profile.payload_bytes,
        payload_bytes=report.payload_bytes,
        gzip_share=report.gzip_share if report.planned else None,
        security=profile.security,
        durability=profile.durability,
        store=profile.store,
        product=", ".join(sorted(named(cell.transport).traits.needs)) or "none",
        processes=profile.processes,
        retries=profile.retries,
        fault="none" if profile.fault is None else profile.fault.name,
        plan_hash=report.plan_hash,
        arrivals=profile.arrivals,
        rate_per_s=cell.rate_per_s,
        offered_per_s=profile.offered_per_s(cell.rate_per_s),
        achieved_per_s=report.achieved_per_s,
        duration_s=report.window_s,
        planned=report.planned,
        not_sent=report.not_sent,
        sent=report.sent,
        accepted=report.accepted,
        finished=report.finished,
        failed=report.failed,
        unfinished=report.unfinished,
        lost=lost,
        duplicated=report.duplicated,
        shipped=report.shipped,
        rejected=report.rejected,
        accept=_percentiles(report, "accept"),
        finish=_percentiles(report, "finish"),
        finish_service=_percentiles(report, "finish_service"),
        accept_service=_percentiles(report, "accept_service"),
        lateness=_percentiles(report, "lateness"),
        cpu_us_per_order_services=per_order("services"),
        cpu_us_per_order_broker=per_order("broker"),
        cpu_us_per_order_driver=report.driver_cpu_ns / 1e3 / orders if orders else None,
        rss_mib_services=parts["services"].peak_rss_mib if "services" in parts else None,
        rss_mib_broker=parts["broker"].peak_rss_mib if "broker" in parts else None,
        wire_bytes_per_order=None if wire is None or not orders else wire / orders,
        context_switches_per_order=parts["services"].context_switches / orders
        if "services" in parts and orders
        else None,
        warm_up_s=report.warm_up_s if report.planned else None,
        in_flight_mean=report.in_flight_mean if report.planned else None,
        opened_epoch_ms=report.opened_epoch_ms,
        achieved_share=health.achieved_share,
        lateness_in_p99=health.lateness_in_p99,
        driver_share=health.driver_share,
        gap_distance=None if health.gap is None else health.gap.distance,
        gap_threshold=None if health.gap is None else health.gap.threshold,
        little=health.little,
        steal_share=health.steal_share,
        others_cores=health.others_cores,
        slowness=health.slowness,
        complete=not broken and not censored and report.planned > 0,
        valid=not broken and not unhealthy and report.planned > 0,
        caveats=tuple(broken + censored + unhealthy + hints),
    )
