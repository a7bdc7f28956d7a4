"""Runs one trial in the load process: connects, runs the driver, builds the report."""

import asyncio
import dataclasses
import gzip
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.load.closed_loop import ClosedDriver
from bench.load.driver import Driver
from bench.load.open_loop import OpenDriver
from bench.load.order_log import WriteOrder, open_order_log
from bench.load.phases import Phases
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.recorder import DriverRecord
from bench.load.resource_meter import ResourceMeter
from bench.load.scheduling import describe_priority
from bench.load.workload.arrivals import MAX_PLANNED_ORDERS, Arrivals, Schedule
from bench.load.workload.orders import Workload
from bench.load.workload.shape import choose_rate_shape
from bench.provision.service_main import build_audit
from bench.stats.trend import WARM_UP_WINDOWS
from shop.factory import open_service
from shop.service import Service
from shop.workflow import SERVICES
from transports import registry
from transports.base import Client, ServingStats, Transport
from transports.errors import TransportError
from transports.tracing import Stamp
from transports.wire import load_codec

TICK_S = 0.5
TICK_ORDERS = 10
"""The warm-up is looked at as often as this, or as often as so many orders come, whichever is longer."""


HostedServices = Mapping[str, tuple[Service, ServingStats]]


class LoadSession:
    """One trial in one load process. ``run`` raises nothing that went wrong in it: its report says so."""

    def __init__(self, spec: TrialSpec, worker: int, users: int) -> None:
        """``worker`` is which of the trial's workers this is, ``users`` its share of them."""
        self.spec = spec
        self.worker = worker
        self.trace = ""
        """Where an unforeseen error came from."""
        self.report: TrialReport | None = None
        self.reported = asyncio.Event()
        """Set once ``report`` is there, before the client is closed."""
        self._users = users
        self._driver: Driver | None = None
        self._stopped = False

    @property
    def record(self) -> DriverRecord | None:
        """What is counted so far; None before the transport is connected."""
        return None if self._driver is None else self._driver.record

    def change(self, users: int) -> None:
        """Changes this worker's number of users from now on."""
        self._users = users
        if self._driver is not None:
            self._driver.change(self._load())

    def stop(self) -> None:
        """Stops sending and drains. Idempotent."""
        self._stopped = True
        if self._driver is not None:
            self._driver.stop()

    async def run(
        self, connected: Callable[[], Awaitable[None]], opened: Callable[[int], None] = lambda _: None
    ) -> TrialReport:
        """Runs the trial and returns its report; an error is a sentence in the report.

        ``connected`` is called once before the first order, ``opened`` when the window opens, with the instant.
        """
        try:
            return await self._run(connected, opened)
        except (TransportError, ValueError) as error:
            sentence = str(error)
        except Exception as error:  # noqa: BLE001 - the conductor is told, whatever it was
            self.trace = traceback.format_exc()
            sentence = f"load worker {self.worker} failed with {type(error).__name__}: {error}"
        return TrialReport(trial=self.spec.id, worker=self.worker, error=sentence)

    async def _run(self, connected: Callable[[], Awaitable[None]], opened: Callable[[int], None]) -> TrialReport:
        spec, began_ns = self.spec, time.monotonic_ns()
        if self.worker >= spec.setting.workers:
            raise ValueError(f"trial {spec.id} is for {spec.setting.workers} load workers, and this is one more")
        prefix = f"{spec.id.removeprefix('fw-')}w{self.worker}"
        workload = spec.build_workload(prefix)
        users = self._users
        # A thread, since the master takes a worker that plans for seconds without a heartbeat for dead.
        schedule = await asyncio.to_thread(build_schedule, spec, workload, self.worker, self._load())
        setting = dataclasses.replace(spec.setting, worker=self.worker)
        transport = registry.load_transport(spec.transport, setting.product)(setting)
        async with AsyncExitStack() as stack:
            hosted = await host_services(transport, stack, spec.store) if transport.traits.in_process else None
            client = await stack.enter_async_context(transport.connect())
            raw = stack.enter_context(open_order_log(self._raw_path())) if spec.raw else None
            # From here to the driver's first step nothing awaits, so no change and no stop can be missed.
            await connected()
            meter = ResourceMeter(spec.watch)

            def at_edge() -> None:
                meter.read()
                if self._driver is not None and not meter.closed:
                    opened(self._driver.opened_ns)

            if self._users != users:
                schedule = build_schedule(spec, workload, self.worker, self._load())
            driver = self._driver = self._new_driver(
                client, workload, schedule, at_edge, raw, in_process=hosted is not None
            )
            if self._stopped:
                driver.stop()
            await driver.run()
            report = TrialReport.of(spec.id, self.worker, driver.record, driver.plan_hash)
            report.workers = 1
            report.left_behind = driver.left_behind
            report.duplicated = client.duplicated
            report.driver_priority = describe_priority()
            report.facts = dict(transport.facts())
            report.costs, report.machine, report.wire_bytes, report.connections_closed = await meter.compute_usage()
            report.began_ns, report.ended_ns = began_ns, time.monotonic_ns()
            report.opened_epoch_ms = round(time.time() * 1000 - (report.ended_ns - driver.opened_ns) / 1e6)
            first = load_codec(setting.codec).encode(workload.order(0))
            report.payload_bytes, report.gzip_share = len(first), len(gzip.compress(first, 6)) / len(first)
            if hosted is not None:
                report.services_audit, report.stamps = audit_hosted(hosted)
            self.report = report
            self.reported.set()
            return report

    def _raw_path(self) -> Path:
        path = Path(self.spec.raw)
        return path if self.spec.setting.workers == 1 else path.with_stem(f"{path.stem}-{self.worker}")

    def _load(self) -> float:
        return self._users if self.spec.mode == "closed" else self._users * self.spec.orders_per_s_per_user

    def _new_driver(
        self,
        client: Client,
        workload: Workload,
        schedule: Schedule | None,
        at_edge: Callable[[], None],
        raw: WriteOrder | None,
        *,
        in_process: bool,
    ) -> Driver:
        spec = self.spec
        phases = Phases(
            warm_up_s=spec.warm_up_s,
            # Several load processes open their windows together, so none waits for what it alone sees; and a closed
            # loop has no rate that it could settle at.
            warm_up_max_s=spec.warm_up_max_s if spec.setting.workers == 1 and spec.mode == "open" else 0.0,
            tick_s=compute_tick_s(self._load(), spec.warm_up_max_s),
            duration_s=spec.duration_s,
            drain_s=spec.drain_s,
            deadline_s=spec.setting.deadline_s,
            in_flight_cap=spec.in_flight_cap,
            trace_every=spec.setting.trace_every,
            watches_loop=spec.setting.trace_every > 0 and not in_process,
        )
        if schedule is None:
            return ClosedDriver(client, workload, phases, self._users, at_edge=at_edge, raw=raw)
        warm_up = build_warm_up_schedule(spec, self.worker, self._load())
        return OpenDriver(client, workload, phases, schedule, at_edge=at_edge, raw=raw, warm_up=warm_up)


def compute_tick_s(orders_per_s: float, warm_up_max_s: float) -> float:
    """Returns how often, in seconds, an adapting warm-up is checked.

    Seldom enough that some orders come in between, often enough that the slope has as many checks as it needs.
    """
    longest_s = warm_up_max_s / (WARM_UP_WINDOWS + 1)
    return min(max(TICK_S, TICK_ORDERS / orders_per_s), longest_s or TICK_S) if orders_per_s else TICK_S


def build_schedule(spec: TrialSpec, workload: Workload, worker: int, orders_per_s: float) -> Schedule | None:
    """Builds the schedule of this worker's orders, the same for every transport; None in closed mode.

    Raises ValueError.
    """
    if spec.mode == "closed":
        return None
    workers = spec.setting.workers
    return Schedule(
        spec.arrivals,
        seed=f"{spec.seed}:{worker}",
        orders_per_s=orders_per_s,
        duration_s=spec.duration_s,
        # Workers take turns with constant arrivals, and with those of a trace.
        phase=(worker + 0.5) / workers,
        shape=choose_rate_shape(spec.arrivals, spec.step, spec.burst),
        trace_ns=() if spec.replay is None else spec.replay.offsets_ns(MAX_PLANNED_ORDERS)[worker::workers],
        note=workload.fingerprint,
    )


def build_warm_up_schedule(spec: TrialSpec, worker: int, orders_per_s: float) -> Schedule:
    """Builds this worker's warm-up schedule: at the mean rate, without bursts or steps, without an end."""
    arrivals: Arrivals = "constant" if spec.arrivals == "constant" else "poisson"
    phase = (worker + 0.5) / spec.setting.workers
    return Schedule(arrivals, seed=f"{spec.seed}:{worker}:warm-up", orders_per_s=orders_per_s, phase=phase)


async def host_services(transport: Transport, stack: AsyncExitStack, store: str) -> HostedServices:
    """Serves the services in this process until the stack unwinds, and returns them by name."""
    setting, folder = transport.setting, None
    if store == "sqlite":
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fourways-")))
    services = {}
    for name in SERVICES:
        service = open_service(name, folder=folder, durability=setting.durability, deadline_s=setting.deadline_s)
        stack.callback(service.store.close)
        services[name] = service, await stack.enter_async_context(transport.serve(service))
    return services


def audit_hosted(hosted: HostedServices) -> tuple[dict[str, Any], list[Stamp]]:
    """Returns the audits of services in this process, by name, and their stamps."""
    audits = {name: build_audit(service) for name, (service, _) in hosted.items()}
    return audits, [stamp for _, serving in hosted.values() for stamp in serving.trace.stamps]
