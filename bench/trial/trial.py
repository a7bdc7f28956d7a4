"""Runs one trial from set-up to its row: prepare, serve, probe, load, audit, remove."""

import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench.errors import LoadError, StartFailed
from bench.load import resources as cost
from bench.load.locust.control import Master, start_worker
from bench.load.protocol import ResourceWatch, TrialReport, TrialSpec
from bench.load.workload.replay import ArrivalTrace
from bench.profile.schema import CellSettings, Profile
from bench.provision import postgres
from bench.provision.base import Broker
from bench.provision.brokers import is_broker_running
from bench.provision.ports import find_free_ports
from bench.provision.services import ServiceProcess, run_services
from bench.provision.toxiproxy import ProxyNetwork, run_proxy
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.histograms import PercentileInterval, compute_percentile_intervals
from bench.results.measures import histogram_names
from bench.results.rows import HopRow, OutageRow, TimelineBin, TrialRow, trial_name
from bench.trial import audit
from bench.trial.context import TrialContext
from bench.trial.disturbance import Disturbance, disturb_during, is_disturbed
from bench.trial.fault_injection import FaultTargets, FaultWindow
from bench.trial.hops import build_path_steps, find_clock_mismatch
from bench.trial.kept_dead_letters import keep_dead_letters
from bench.trial.outcome import TrialOutcome
from bench.trial.parts import find_ports, list_parts, worker_environment
from bench.trial.proxy_routes import BUYER, ProxyRoutes
from bench.trial.readiness import read_negotiated_tls, wait_until_ready
from bench.trial.row import build_trial_row, count_censored, decode_histogram, format_failures
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.errors import SettingError, TransportError
from transports.security import CIPHER_SUITE, NONE
from transports.tracing import Stamp

_SEE_LOGS = "read the logs in the run's folder"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of one trial: its row, histograms and what belongs to them."""

    row: TrialRow
    histograms: Mapping[str, HdrHistogram]
    facts: Mapping[str, str]
    """The transport's versions and settings as they took effect."""
    idle_cpu_ms_per_s: Mapping[str, float]
    """The CPU that services and broker used before the load came; empty unless it was asked for."""
    steps: Sequence[HopRow] = ()
    """Where the time of the sampled orders went."""
    intervals: Sequence[PercentileInterval] = ()
    """Every percentile with its interval within the trial."""
    outage: OutageRow | None = None
    """The effect of a fault, where there was one."""
    timeline: Sequence[TimelineBin] = ()
    """The effect of the fault, bin by bin."""
    tls: str = ""
    """The TLS that was agreed on, where it was asked for."""
    again: Broker | None = None
    """A broker that was killed on purpose and is another process since."""


def _format_trial_id(stage: TrialContext, round_: int, slot: int) -> str:
    return f"fw-{stage.run_id.rpartition('-')[2]}r{round_}s{slot}"


def count_ports(profile: Profile) -> int:
    """Counts the ports that the services of one cell listen on."""
    return len(SERVICES) * profile.processes


def build_setting(
    stage: TrialContext, cell: CellSettings, trial: str, free_ports: Sequence[int] | None = None
) -> Setting:
    """Builds the transport's setting for a cell, with these free ports for the services, or with others."""
    profile = cell.profile
    needs = cell.kind.traits.needs
    count = count_ports(profile)
    if free_ports is None:
        free_ports = find_free_ports(count) if profile.ports is None else range(profile.ports, profile.ports + count)
    ports = iter(free_ports)
    return Setting(
        trial=trial,
        addresses={name: ",".join(f"127.0.0.1:{next(ports)}" for _ in range(profile.processes)) for name in SERVICES},
        processes=profile.processes,
        servers={name: stage.brokers[name].at(profile.security) for name in needs if name in stage.brokers},
        codec=cell.cell.codec,
        compression=cell.cell.compression,
        security=profile.security,
        keys=stage.keys,
        durability=profile.durability,
        product=cell.cell.product,
        max_message_bytes=profile.max_message_bytes,
        deadline_s=profile.deadline_s,
        trace_every=profile.trace_every,
        options=dict(cell.cell.options),
    )


async def run_trial(
    stage: TrialContext, master: Master, cell: CellSettings, *, round_: int, slot: int, idle: bool = False
) -> TrialResult:
    """Runs one trial. What goes wrong makes it invalid and is named in its caveats; only a lost master raises."""
    away = FaultWindow()
    try:
        outcome, trouble = await _run_load(stage, master, cell, round_, slot, idle, away)
        return _build_result(cell, round_, slot, outcome, trouble)
    except Exception as error:
        if master.process.returncode is not None:
            raise
        known = isinstance(error, TransportError | StartFailed | LoadError | SettingError)
        said = f"{error}" if known else f"{type(error).__name__}: {error}"
        report = TrialReport(trial=_format_trial_id(stage, round_, slot), error=said)
        row = build_trial_row(cell, round_, slot, TrialOutcome(report=report))
        return TrialResult(row, {}, {}, {}, again=away.again)


async def _run_load(
    stage: TrialContext, master: Master, cell: CellSettings, round_: int, slot: int, idle: bool, away: FaultWindow
) -> tuple[TrialOutcome, Disturbance]:
    trial = _format_trial_id(stage, round_, slot)
    setting = build_setting(stage, cell, trial)
    transport = cell.kind(setting)
    used = [stage.brokers[name] for name in transport.traits.needs if name in stage.brokers]
    database = [stage.brokers[postgres.NAME]] if cell.needs_database else []
    fault = cell.profile.fault
    links = ProxyRoutes(fault, setting, used)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        if stage.dead_letters is not None:
            letters = stage.dead_letters / f"{trial_name(round_, slot, cell.name)}.jsonl"
            stack.push_async_callback(keep_dead_letters, transport, letters)
        way = await stack.enter_async_context(_start_network_proxy(stage, links))
        begun_s = time.monotonic()
        running = await stack.enter_async_context(run_ready_services(stage, cell, setting, transport, links))
        ready_s = time.monotonic() - begun_s if running else None
        agreed = await read_negotiated_tls(setting, transport)
        bounds = {name: await service.clock() for name, service in running.items()}
        await stack.enter_async_context(
            start_worker(master, log=stage.logs / f"{trial}-worker.log", env=worker_environment(stage), urgent=True)
        )
        parts = list_parts(running, used, database)
        idle_cpu = (
            {part: (await cost.measure_idle_usage(pids)).cpu_ms_per_s for part, pids in parts.items()} if idle else {}
        )
        # What goes through a network of ours passes its port twice.
        watch = ResourceWatch(parts=parts, ports=() if way else find_ports(transport, setting))
        spec = build_trial_spec(stage, cell, links.seen_by(BUYER), round_, watch, duration_s=cell.profile.duration_s)
        if (raw := stage.raw or (stage.folder if is_disturbed(spec, fault) else None)) is not None:
            spec = msgspec.structs.replace(spec, raw=str(raw.resolve() / f"{trial_name(round_, slot, cell.name)}.csv"))
        asked_ns = time.monotonic_ns()
        at_risk = FaultTargets(running, used, way, quorum=setting.durability == "safe")
        async with (
            stage.speed_probe.sampling() as runs_us,
            disturb_during(master, spec, fault, at_risk, away) as trouble,
        ):
            report = await master.run(spec)
        if report.planned:
            bounds["load"] = (asked_ns, pick_clock_sample_ns(report, asked_ns), time.monotonic_ns())
        books, stamps, doubts = await collect_audit(stage, cell, running, report)
    if (again := trouble.away.again) is not None:
        used = [again if again.name == broker.name else broker for broker in used]
    used += database
    # The cause comes first: services may have ended with their server.
    doubts = [*(caveats.process_ended(broker.name) for broker in used if not is_broker_running(broker)), *doubts]
    if setting.security != NONE and (agreed is None or agreed.cipher != CIPHER_SUITE):
        doubts.append(caveats.cipher_differs("none" if agreed is None else agreed.cipher, CIPHER_SUITE))
    if report.planned and trouble.missing is not None:
        doubts.append(trouble.missing)
    outcome = TrialOutcome(
        report=report,
        doubts=doubts,
        books=books,
        stamps=stamps,
        ready_s=ready_s,
        idle_cpu_ms_per_s=idle_cpu,
        cpu_slowdown=stage.speed_probe.compute_slowdown(runs_us),
        tls=agreed,
        clock_mismatch=find_clock_mismatch(bounds),
        counts_wire=bool(watch.ports),
        # A process that was started again is not among those whose CPU is counted, nor is the network's.
        unwatched=[broker.name for broker in used if not broker.pids],
        knows_all_processes=all(broker.pids for broker in used) and (fault is None or fault.action == "stop"),
    )
    return outcome, trouble


async def collect_audit(
    stage: TrialContext, cell: CellSettings, running: Mapping[str, ServiceProcess], report: TrialReport
) -> tuple[Mapping[str, Any] | None, Sequence[Stamp], list[Caveat]]:
    """The services' books and stamps, and the doubt when one does not answer; of services in the driver, its own."""
    if not cell.kind.traits.runs_shop:
        return None, [], []
    if not running:
        return report.services_audit, report.stamps, []
    try:
        books = [(service.name, await service.audit()) for service in running.values()]
        stamps = [stamp for service in running.values() for stamp in await service.stamps()]
    except StartFailed as error:
        name = "silent" if all(service.alive for service in running.values()) else "died"
        return report.services_audit, report.stamps, [Caveat(name, f"{cell.name}: {error}", _SEE_LOGS)]
    return audit.merge_process_audits(books, shared=cell.profile.store != "memory"), stamps, []


def _build_result(
    cell: CellSettings, round_: int, slot: int, outcome: TrialOutcome, trouble: Disturbance
) -> TrialResult:
    report = outcome.report
    result = build_result(cell, round_, slot, outcome)
    outage: OutageRow | None = None
    bins: Sequence[TimelineBin] = ()
    if report.planned and (happened := trouble.outage(round_=round_, slot=slot, cell=cell.name)) is not None:
        whole, bins = happened
        outage = msgspec.structs.replace(
            whole,
            lost=outcome.lost,
            redelivered=outcome.redelivered,
            duplicate_outcomes=report.duplicated,
            charged_unconfirmed=outcome.charged_unconfirmed,
            failures=format_failures(report),
        )
    return replace(result, outage=outage, timeline=bins, again=trouble.away.again)


def build_result(cell: CellSettings, round_: int, slot: int, outcome: TrialOutcome) -> TrialResult:
    """Builds the result of a trial, or of a cell in a set, in which nothing was disturbed."""
    report = outcome.report
    histograms = {name: decode_histogram(report, name) for name in histogram_names()}
    return TrialResult(
        row=build_trial_row(cell, round_, slot, outcome),
        histograms=histograms,
        facts={**report.facts, "driver_priority": report.driver_priority} if report.planned else {},
        tls=str(outcome.tls or ""),
        idle_cpu_ms_per_s=outcome.idle_cpu_ms_per_s,
        steps=() if outcome.clock_mismatch else build_path_steps(report.sampled, outcome.stamps),
        intervals=[
            line
            for name, lost in count_censored(report).items()
            for line in compute_percentile_intervals(name, histograms[name], lost)
        ],
    )


@contextlib.asynccontextmanager
async def _start_network_proxy(stage: TrialContext, links: ProxyRoutes) -> AsyncIterator[ProxyNetwork | None]:
    """Toxiproxy, where the trial's fault is one of the network."""
    if not links.addresses:
        yield None
        return
    assert stage.home is not None
    log = stage.logs / f"{links.setting.trial}-network.log"
    async with run_proxy(links.addresses, home=stage.home, folder=stage.folder, log=log) as way:
        yield way


@contextlib.asynccontextmanager
async def run_ready_services(
    stage: TrialContext, cell: CellSettings, setting: Setting, transport: Transport, links: ProxyRoutes | None = None
) -> AsyncIterator[Mapping[str, ServiceProcess]]:
    """Runs the services, ready when a probe order came back, by name; none where they run in the load process."""
    if transport.traits.in_process:
        yield {}
        return
    async with (
        _provide_stores(stage, cell, setting.trial) as (store_folder, databases),
        run_services(
            cell.transport,
            setting,
            folder=stage.folder,
            logs=stage.logs,
            store_folder=store_folder,
            databases=databases,
            seen_by=None if links is None else links.seen_by,
            python=stage.pythons[cell.profile.interpreter],
        ) as running,
    ):
        await wait_until_ready(transport)
        yield running


@contextlib.asynccontextmanager
async def _provide_stores(
    stage: TrialContext, cell: CellSettings, trial: str
) -> AsyncIterator[tuple[Path | None, Mapping[str, str]]]:
    """The folder of the services' files or their databases, new and empty; gone afterwards. Raises StartFailed."""
    if cell.needs_database:
        async with postgres.provide_databases(stage.brokers[postgres.NAME], trial, SERVICES) as databases:
            yield None, databases
    elif cell.profile.store == "sqlite":
        folder = stage.folder / trial
        folder.mkdir()
        try:
            yield folder, {}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        yield None, {}


async def remove_quietly(transport: Transport) -> None:
    """Removes the transport's queues and topics; errors are ignored, as they go with a broker that is gone."""
    with contextlib.suppress(Exception):
        await transport.remove()


def build_trial_spec(
    stage: TrialContext,
    cell: CellSettings,
    setting: Setting,
    round_: int,
    watch: ResourceWatch,
    *,
    duration_s: float | None,
) -> TrialSpec:
    """Builds the load process's trial specification; ``duration_s`` None: until it is stopped."""
    profile = cell.profile
    users = max(1, round(cell.rate_per_s))
    return TrialSpec(
        id=setting.trial,
        transport=cell.transport,
        setting=setting,
        # The same plan for every cell of a round, so that differences are paired.
        seed=derive_round_seed(profile.seed, round_),
        payload_bytes=profile.payload_bytes,
        shape=profile.shape,
        compressible=profile.compressible,
        arrivals=profile.arrivals,
        step=profile.step,
        burst=profile.burst,
        # The load process may have another working directory.
        replay=profile.replay
        and ArrivalTrace(path=str(Path(profile.replay.path).resolve()), sha256=profile.replay.sha256),
        users=users,
        orders_per_s_per_user=cell.rate_per_s / users,
        warm_up_s=profile.warm_up_s,
        warm_up_max_s=profile.warm_up_max_s,
        duration_s=duration_s,
        drain_s=profile.deadline_s,
        store=profile.store,
        watch=watch,
    )


def derive_round_seed(seed: int, round_: int) -> int:
    """Derives a round's seed from the run's: runs with neighbouring seeds share no round."""
    return int.from_bytes(blake2b(f"{seed}:{round_}".encode(), digest_size=6).digest())


def pick_clock_sample_ns(report: TrialReport, asked_ns: int) -> int:
    """Returns the load process's clock at its beginning if it lags there, else at its end, where it may be ahead."""
    return report.began_ns if report.began_ns < asked_ns else report.ended_ns
