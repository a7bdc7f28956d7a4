"""A trial of one load process, from what was asked to what was seen: the transport connected, the driver run."""

import asyncio
import dataclasses
import gzip
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from bench.load.closed_loop import ClosedDriver
from bench.load.driver import Driver, Phases
from bench.load.open_loop import OpenDriver
from bench.load.order_log import Write, raw_file
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.recorder import Record
from bench.load.resource_meter import Meter
from bench.load.scheduling import priority
from bench.load.workload.arrivals import MOST_ORDERS, Arrivals, Schedule
from bench.load.workload.orders import Workload
from bench.load.workload.shape import shape_of
from bench.provision.service_main import audit_of
from bench.stats.trend import WINDOWS
from shop.factory import open_service
from shop.service import Service
from shop.workflow import SERVICES
from transports import registry
from transports.base import Client, Serving, Transport
from transports.errors import TransportError
from transports.wire import codec_named

TICK_S = 0.5
TICK_ORDERS = 10
"""The warm-up is looked at as often as this, or as often as so many orders come, whichever is longer."""


class Carrying:
    """One trial. ``run`` never raises what went wrong in it: its report says so."""

    def __init__(self, spec: TrialSpec, worker: int, users: int) -> None:
        """``worker`` is which of the trial's workers this is, ``users`` its share of them."""
        self.spec = spec
        self.worker = worker
        self.trace = ""
        """Where an unforeseen error came from."""
        self._users = users
        self._driver: Driver | None = None
        self._stopped = False

    @property
    def record(self) -> Record | None:
        """What is counted so far; None before the transport is connected."""
        return None if self._driver is None else self._driver.record

    def change(self, users: int) -> None:
        self._users = users
        if self._driver is not None:
            self._driver.change(self._load())

    def stop(self) -> None:
        """Send no more and drain. Idempotent."""
        self._stopped = True
        if self._driver is not None:
            self._driver.stop()

    async def run(
        self, connected: Callable[[], Awaitable[None]], opened: Callable[[int], None] = lambda _: None
    ) -> TrialReport:
        """``connected`` is called once before the first order, ``opened`` when the window opens, with the instant."""
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
        workload = spec.workload(prefix)
        users = self._users
        # A thread, since the master takes a worker that plans for seconds without a heartbeat for dead.
        schedule = await asyncio.to_thread(schedule_of, spec, workload, self.worker, self._load())
        setting = dataclasses.replace(spec.setting, worker=self.worker)
        transport = registry.named(spec.transport, setting.product)(setting)
        async with AsyncExitStack() as stack:
            hosted = await _hosted(transport, stack) if transport.traits.in_process else None
            client = await stack.enter_async_context(transport.connect())
            raw = stack.enter_context(raw_file(self._raw_path())) if spec.raw else None
            # From here to the driver's first step nothing awaits, so no change and no stop can be missed.
            await connected()
            meter = Meter(spec.watch)

            def at_edge() -> None:
                meter.read()
                if self._driver is not None and not meter.closed:
                    opened(self._driver.opened_ns)

            if self._users != users:
                schedule = schedule_of(spec, workload, self.worker, self._load())
            driver = self._driver = self._new_driver(client, workload, schedule, at_edge, raw)
            if self._stopped:
                driver.stop()
            await driver.run()
            report = TrialReport.of(spec.id, self.worker, driver.record, driver.plan_hash)
            report.workers = 1
            report.duplicated = client.duplicated
            report.driver_priority = priority()
            report.facts = dict(transport.facts())
            report.costs, report.machine, report.wire_bytes, report.connections_closed = await meter.spent()
            report.began_ns, report.ended_ns = began_ns, time.monotonic_ns()
            report.opened_epoch_ms = round(time.time() * 1000 - (report.ended_ns - driver.opened_ns) / 1e6)
            first = codec_named(setting.codec).encode(workload.order(0))
            report.payload_bytes, report.gzip_share = len(first), len(gzip.compress(first, 6)) / len(first)
            if hosted is not None:
                report.services_audit = {name: audit_of(service) for name, (service, _) in hosted.items()}
                report.stamps = [stamp for _, serving in hosted.values() for stamp in serving.trace.stamps]
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
        raw: Write | None,
    ) -> Driver:
        spec = self.spec
        phases = Phases(
            warm_up_s=spec.warm_up_s,
            # Several load processes open their windows together, so none waits for what it alone sees; and a closed
            # loop has no rate that it could settle at.
            warm_up_max_s=spec.warm_up_max_s if spec.setting.workers == 1 and spec.mode == "open" else 0.0,
            tick_s=tick_s(self._load(), spec.warm_up_max_s),
            duration_s=spec.duration_s,
            drain_s=spec.drain_s,
            deadline_s=spec.setting.deadline_s,
            in_flight_cap=spec.in_flight_cap,
            trace_every=spec.setting.trace_every,
        )
        if schedule is None:
            return ClosedDriver(client, workload, phases, self._users, at_edge=at_edge, raw=raw)
        warm_up = warm_up_of(spec, self.worker, self._load())
        return OpenDriver(client, workload, phases, schedule, at_edge=at_edge, raw=raw, warm_up=warm_up)


def tick_s(orders_per_s: float, warm_up_max_s: float) -> float:
    """How often a warm-up is looked at.

    Seldom enough for some orders, often enough for it to have as many looks as its slope takes.
    """
    longest_s = warm_up_max_s / (WINDOWS + 1)
    return min(max(TICK_S, TICK_ORDERS / orders_per_s), longest_s or TICK_S) if orders_per_s else TICK_S


def schedule_of(spec: TrialSpec, workload: Workload, worker: int, orders_per_s: float) -> Schedule | None:
    """When this worker's orders are due, the same for every transport; None in closed mode. Raises ValueError."""
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
        shape=shape_of(spec.arrivals, spec.step, spec.burst),
        trace_ns=() if spec.trace is None else spec.trace.offsets_ns(MOST_ORDERS)[worker::workers],
        note=workload.fingerprint,
    )


def warm_up_of(spec: TrialSpec, worker: int, orders_per_s: float) -> Schedule:
    """When this worker's orders of the warm-up are due: at the mean rate, without bursts or steps, endlessly."""
    arrivals: Arrivals = "constant" if spec.arrivals == "constant" else "poisson"
    phase = (worker + 0.5) / spec.setting.workers
    return Schedule(arrivals, seed=f"{spec.seed}:{worker}:warm-up", orders_per_s=orders_per_s, phase=phase)


async def _hosted(transport: Transport, stack: AsyncExitStack) -> Mapping[str, tuple[Service, Serving]]:
    """The services, served in this process until the stack unwinds."""
    durability = transport.setting.durability
    folder = None
    if durability == "safe":
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fourways-")))
    services = {}
    for name in SERVICES:
        service = open_service(name, folder=folder, durability=durability)
        stack.callback(service.store.close)
        services[name] = service, await stack.enter_async_context(transport.serve(service))
    return services
