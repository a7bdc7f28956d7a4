"""One trial, from its queues and processes to its row: prepare, serve, probe, load, audit, remove."""

import contextlib
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

from bench.errors import LoadError, StartFailed
from bench.load import resources as cost
from bench.load.locust.control import Master, worker
from bench.load.protocol import HISTOGRAMS, TrialReport, TrialSpec, Watch
from bench.load.workload.replay import Trace
from bench.profile.matrix import at
from bench.profile.schema import Cell, Profile
from bench.provision import Broker, alive, free_ports
from bench.provision.process import belonging_to
from bench.provision.services import ServiceProcess, services
from bench.provision.toxiproxy import Network, network
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.histograms import Interval, intervals
from bench.results.rows import Outage, Step, Stretch, Trial, trial_name
from bench.trial import audit
from bench.trial.disturbance import Trouble, is_disturbed, troubled
from bench.trial.fault_injection import Away, Parts
from bench.trial.hops import agree, steps
from bench.trial.proxy_routes import BUYER, Links
from bench.trial.readiness import met, probed
from bench.trial.row import censored, histogram_of, row_of
from bench.trial.speed_probe import Canary
from bench.trial.tls_probe import Negotiated
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.errors import SettingError, TransportError
from transports.security import CIPHER, NONE
from transports.security.keys import OPENSSL
from transports.tracing import Stamp

_SEE_LOGS = "read the logs in the run's folder"
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
    home: Path | None = None
    """What set-up keeps, a network's program among it; only for a fault of the network."""
    raw: Path | None = None
    """Where every order is kept, trial by trial."""
    canary: Canary = field(default_factory=Canary)
    keys: str = ""
    """Where everyone's keys are, at any level of security but none."""


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
    timeline: Sequence[Stretch] = ()
    """The same, stretch by stretch."""
    tls: str = ""
    """What was agreed on, where TLS was asked for."""
    again: Broker | None = None
    """A broker that was killed on purpose and is another process since."""


def _id(stage: Stage, round_: int, slot: int) -> str:
    return f"fw-{stage.run_id.rpartition('-')[2]}r{round_}s{slot}"


def setting_of(stage: Stage, cell: Cell, trial: str) -> Setting:
    """Everything the transport may know, with free ports for the services."""
    profile = stage.profile
    needs = cell.kind.traits.needs
    count = len(SERVICES) * profile.processes
    ports = iter(free_ports(count) if profile.ports is None else range(profile.ports, profile.ports + count))
    return Setting(
        trial=trial,
        addresses={name: ",".join(f"127.0.0.1:{next(ports)}" for _ in range(profile.processes)) for name in SERVICES},
        processes=profile.processes,
        servers={name: stage.brokers[name].at(profile.security) for name in needs if name in stage.brokers},
        codec=cell.codec,
        compression=cell.compression,
        security=profile.security,
        keys=stage.keys,
        durability=profile.durability,
        product=cell.product,
        max_message_bytes=profile.max_message_bytes,
        deadline_s=profile.deadline_s,
        trace_every=profile.hops_every,
        options=dict(cell.options),
    )


async def measure(stage: Stage, master: Master, cell: Cell, *, round_: int, slot: int, idle: bool = False) -> Measured:
    """Run one trial. What goes wrong in it makes it invalid and says why in its caveats; nothing is raised for it."""
    stage, away = replace(stage, profile=at(stage.profile, cell)), Away()
    try:
        return _measured(stage, cell, round_, slot, await _ran(stage, master, cell, round_, slot, idle, away))
    except Exception as error:
        if master.process.returncode is not None:
            raise
        known = isinstance(error, TransportError | StartFailed | LoadError | SettingError)
        said = f"{error}" if known else f"{type(error).__name__}: {error}"
        doubt = Caveat("failed", f"{cell.name}: {said}", _SEE_LOGS)
        row = row_of(stage.profile, cell, round_, slot, TrialReport(trial=_id(stage, round_, slot)), [doubt])
        return Measured(row, {}, {}, {}, again=away.again)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """What a trial left when its processes were stopped."""

    report: TrialReport
    books: Mapping[str, Any] | None
    stamps: Sequence[Stamp]
    doubts: Sequence[Caveat]
    trouble: Trouble
    used: Sequence[Broker]
    ready_s: float | None
    burnt: Mapping[str, float]
    clocks: str
    """Why they cannot be compared, if they cannot."""
    agreed: Negotiated | None
    """How client and server speak, where TLS was asked for."""
    on_wire: bool
    """Whether bytes on the wire were to be counted."""
    slowness: float | None


async def _ran(stage: Stage, master: Master, cell: Cell, round_: int, slot: int, idle: bool, away: Away) -> _Ran:
    trial = _id(stage, round_, slot)
    setting = setting_of(stage, cell, trial)
    transport = cell.kind(setting)
    used = [stage.brokers[name] for name in transport.traits.needs if name in stage.brokers]
    fault = stage.profile.fault
    links = Links(fault, setting, used)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        way = await stack.enter_async_context(_network(stage, links))
        begun_s = time.monotonic()
        running = await stack.enter_async_context(serving(stage, cell, setting, transport, links))
        ready_s = time.monotonic() - begun_s if running else None
        agreed = await met(setting, transport)
        bounds = {name: await service.clock() for name, service in running.items()}
        await stack.enter_async_context(
            worker(master, log=stage.logs / f"{trial}-worker.log", env=_environment(stage), urgent=True)
        )
        parts = {
            "services": tuple(service.pid for service in running.values()),
            "broker": tuple(pid for broker in used for pid in broker.pids),
        }
        parts = {part: pids for part, pids in parts.items() if pids}
        burnt = {part: (await cost.idle(pids)).cpu_ms_per_s for part, pids in parts.items()} if idle else {}
        # What goes through a network of ours passes its port twice.
        watch = Watch(parts=parts, ports=() if way else _ports(transport, setting))
        spec = spec_of(stage, cell, links.seen_by(BUYER), round_, watch, duration_s=stage.profile.duration_s)
        if (raw := stage.raw or (stage.folder if is_disturbed(spec, fault) else None)) is not None:
            spec = msgspec.structs.replace(spec, raw=str(raw.resolve() / f"{trial_name(round_, slot, cell.name)}.csv"))
        asked_ns = time.monotonic_ns()
        at_risk = Parts(running, used, way, quorum=setting.durability == "safe")
        async with stage.canary.beside() as runs_us, troubled(master, spec, fault, at_risk, away) as trouble:
            report = await master.run(spec)
        if report.planned:
            bounds["load"] = (asked_ns, _telling_ns(report, asked_ns), time.monotonic_ns())
        books, stamps, doubts = await _told(stage, cell, running, report)
    if (again := trouble.away.again) is not None:
        used = [again if again.name == broker.name else broker for broker in used]
    return _Ran(
        report=report,
        books=books,
        stamps=stamps,
        doubts=[*doubts, *(caveats.died(broker.name) for broker in used if not alive(broker))],
        trouble=trouble,
        used=used,
        ready_s=ready_s,
        burnt=burnt,
        clocks=agree(bounds),
        agreed=agreed,
        on_wire=bool(watch.ports),
        slowness=stage.canary.slowness(runs_us),
    )


async def _told(
    stage: Stage, cell: Cell, running: Mapping[str, ServiceProcess], report: TrialReport
) -> tuple[Mapping[str, Any] | None, Sequence[Stamp], list[Caveat]]:
    """The services' books and stamps, and the doubt when one does not answer; of services in the driver, its own."""
    if not running:
        return report.services_audit, report.stamps, []
    try:
        books = [(service.name, await service.audit()) for service in running.values()]
        stamps = [stamp for service in running.values() for stamp in await service.stamps()]
    except StartFailed as error:
        name = "silent" if all(service.alive for service in running.values()) else "died"
        return report.services_audit, report.stamps, [Caveat(name, f"{cell.name}: {error}", _SEE_LOGS)]
    return audit.together(books, shared=stage.profile.store == "sqlite"), stamps, []


def _measured(stage: Stage, cell: Cell, round_: int, slot: int, ran: _Ran) -> Measured:
    report, trouble, fault = ran.report, ran.trouble, stage.profile.fault
    doubts = list(ran.doubts)
    if stage.profile.security != NONE and (ran.agreed is None or ran.agreed.cipher != CIPHER):
        doubts.append(caveats.other_cipher("none" if ran.agreed is None else ran.agreed.cipher, CIPHER))
    if report.planned and trouble.missing is not None:
        doubts.append(trouble.missing)
    lost = charged_unheard = asked_again = None
    if ran.books is not None:
        doubts += [caveats.broken_audit(problem) for problem in audit.problems(report.audit, ran.books)]
        lost = audit.lost(report.audit, report.accepted_unfinished, ran.books)
        charged_unheard = audit.charged_unheard(report.audit, ran.books)
        asked_again = audit.asked_again(ran.books)
    # A process that was started again is not among those whose CPU is counted, nor is the network's.
    alone = all(broker.pids for broker in ran.used) and (fault is None or fault.action == "stop")
    row = row_of(stage.profile, cell, round_, slot, report, doubts, lost, ran.slowness, alone=alone)
    hints = list(row.caveats)
    if ran.clocks:
        hints.append(caveats.other_clock(ran.clocks))
    if report.planned and ran.on_wire:
        hints += caveats.of_wire(report.wire_bytes, report.connections_closed)
    histograms = {name: histogram_of(report, name) for name in HISTOGRAMS}
    outage: Outage | None = None
    stretches: Sequence[Stretch] = ()
    if report.planned and (happened := trouble.outage(round_=round_, slot=slot, cell=cell.name)) is not None:
        whole, stretches = happened
        outage = msgspec.structs.replace(
            whole,
            lost=lost,
            asked_again=asked_again,
            told_twice=report.duplicated,
            charged_unheard=charged_unheard,
            failures=row.failures,
        )
    return Measured(
        row=msgspec.structs.replace(
            row,
            ready_s=ran.ready_s,
            negotiated_cipher="" if ran.agreed is None else ran.agreed.cipher,
            caveats=tuple(hints),
        ),
        histograms=histograms,
        facts={**report.facts, "driver_priority": report.driver_priority} if report.planned else {},
        tls=str(ran.agreed or ""),
        idle_cpu_ms_per_s=ran.burnt,
        steps=() if ran.clocks else steps(report.sampled, ran.stamps),
        intervals=[
            line for name, lost_ in censored(report).items() for line in intervals(name, histograms[name], lost_)
        ],
        outage=outage,
        timeline=stretches,
        again=trouble.away.again,
    )


async def warm(stage: Stage, master: Master, cell: Cell, slot: int) -> None:
    """Use the cell's broker as a trial does, with as many orders as it takes, and count nothing.

    A JVM is slow until it has compiled what is used (docs/method.md, "Warm"). ``slot`` tells warm-ups apart. Raises
    TransportError, StartFailed or LoadError.
    """
    stage = replace(stage, profile=at(stage.profile, cell))
    setting = setting_of(stage, cell, _id(stage, 0, slot))
    transport = cell.kind(setting)
    async with AsyncExitStack() as open_:
        open_.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        await open_.enter_async_context(serving(stage, cell, setting, transport))
        log = stage.logs / f"{setting.trial}-worker.log"
        await open_.enter_async_context(worker(master, log=log, env=_environment(stage), urgent=True))
        spec = spec_of(stage, cell, setting, 0, Watch(), duration_s=stage.profile.broker_warm_up_s)
        await master.run(msgspec.structs.replace(spec, mode="closed", users=WARM_CLIENTS, warm_up_s=0.0))


@contextlib.asynccontextmanager
async def _network(stage: Stage, links: Links) -> AsyncIterator[Network | None]:
    """Toxiproxy, where the trial's fault is one of the network."""
    if not links.addresses:
        yield None
        return
    assert stage.home is not None
    log = stage.logs / f"{links.setting.trial}-network.log"
    async with network(links.addresses, home=stage.home, folder=stage.folder, log=log) as way:
        yield way


@contextlib.asynccontextmanager
async def serving(
    stage: Stage, cell: Cell, setting: Setting, transport: Transport, links: Links | None = None
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
        cell.transport,
        setting,
        folder=stage.folder,
        logs=stage.logs,
        store_folder=store_folder,
        seen_by=None if links is None else links.seen_by,
    ) as running:
        await probed(transport)
        yield running


def _environment(stage: Stage) -> dict[str, str]:
    """Of the load process: the run's mark, and where TLS of Python's ssl is told what to offer."""
    openssl = {"OPENSSL_CONF": str(Path(stage.keys) / OPENSSL)} if stage.keys else {}
    return {**belonging_to(stage.folder), **openssl}


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


def _ports(transport: Transport, setting: Setting) -> tuple[int, ...]:
    """Where the method's bytes pass: at the services, or at the broker. Nowhere known where a URL names no port."""
    if transport.traits.in_process:
        return ()
    where = setting.servers.values() or setting.addresses.values()
    return tuple(int(port) for address in where for port in re.findall(r":(\d+)(?=[/,?]|$)", address))


def _telling_ns(report: TrialReport, asked_ns: int) -> int:
    """The load process's clock at its beginning if that shows that it lags, else at its end, where it may be ahead."""
    return report.began_ns if report.began_ns < asked_ns else report.ended_ns
