"""Plays one slice: reads the costs, sends lead-in and window, waits for what is in flight, reads the costs again."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Protocol

from bench.load import resources as cost
from bench.load.driver import START_LEAD_NS
from bench.load.open_loop import OpenDriver
from bench.load.order_log import WriteOrder
from bench.load.pacer import Clock, Pacer, create_best_pacer
from bench.load.phases import Phases
from bench.load.protocol import MachineUsage, PartUsage, ResourceWatch
from bench.load.recorder import DriverRecord, Histogram
from bench.load.resource_meter import ResourceMeter
from bench.load.sets.plan import PlannedSlice, count_planned
from bench.load.sets.protocol import ArmSpec, EndedSlice, SetSpec, SliceReport, SliceUsage
from bench.results.histograms import QUANTILES
from bench.stats.quantiles import samples_needed
from transports.base import Client

P50_ORDERS = samples_needed(QUANTILES["p50_us"])
P99_ORDERS = samples_needed(QUANTILES["p99_us"])


class Meter(Protocol):
    """Reads what services, broker and machine use, at two edges; see ResourceMeter."""

    async def read_now(self) -> None:
        """Reads at an edge, and returns when that is done."""

    async def compute_usage(self) -> tuple[dict[str, PartUsage], MachineUsage | None, int | None, int]:
        """Returns the use between the edges: by part, of the machine, bytes on the wire, connections closed."""


_MEASURE = partial(ResourceMeter, resets_peak=False)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a slice is timed and measured with; a test has others."""

    clock: Clock = time.monotonic_ns
    pacer: Callable[[Callable[[], None]], Pacer] = create_best_pacer
    meter: Callable[[ResourceWatch], Meter] = _MEASURE


TOOLS = Tools()


@dataclass(slots=True, kw_only=True)
class PlayedSlice:
    """A slice that was played; its record is complete once ``task`` is done."""

    planned: PlannedSlice
    place: int
    driver: OpenDriver
    task: asyncio.Task[None]
    usage: SliceUsage
    costed_orders: int
    drained_ms: float
    left: int
    company: bool
    whole: bool
    """It was not stopped before the end of its window."""
    opened_epoch_ms: int
    duplicated: int = 0
    """Outcomes beyond the first of an order that came since the arm's last slice."""

    @property
    def record(self) -> DriverRecord:
        return self.driver.record

    def end(self, spec: SetSpec) -> EndedSlice:
        """Builds what is sent of the slice; its task is done."""
        return EndedSlice(
            report=self.build_report(spec),
            record=self.record.pack(),
            usage=self.usage,
            plan_hash=self.planned.plan_hash,
            lead_in_us=list(self.driver.responses_outside_us),
            duplicated=self.duplicated,
            left_behind=self.driver.left_behind,
            whole=self.whole and self.task.exception() is None,
        )

    def build_report(self, spec: SetSpec) -> SliceReport:
        """Builds the slice's report."""
        record, planned, usage = self.record, self.planned, self.usage
        window, every, opened_ns = record.window, record.all, self.driver.opened_ns
        lead_in_us = self.driver.responses_outside_us
        cpu_ns = {part: used.cpu_ns for part, used in usage.parts.items() if not used.died}
        return SliceReport(
            cell=planned.spec.cell,
            number=planned.spec.number,
            place=self.place,
            begins_ns=opened_ns - int(spec.lead_in_s * 1e9),
            opened_epoch_ms=self.opened_epoch_ms,
            lead_in_s=spec.lead_in_s,
            window_s=record.window_ns / 1e9,
            first_number=planned.first_number,
            lead_in_planned=every.planned - window.planned,
            lead_in_finished=every.finished - window.finished,
            planned=window.planned,
            finished=window.finished,
            failed=window.failed,
            unfinished=window.unfinished,
            not_sent=window.not_sent,
            lead_in_p50_us=median(lead_in_us) if lead_in_us else None,
            accept_p50_us=_tell_percentile(record.accept, window.planned, 50, P50_ORDERS),
            finish_p50_us=_tell_percentile(record.finish, window.planned, 50, P50_ORDERS),
            finish_p99_us=_tell_percentile(record.finish, window.planned, 99, P99_ORDERS),
            lateness_p50_us=_tell_percentile(record.lateness, window.planned, 50, P50_ORDERS),
            costed_orders=self.costed_orders,
            cpu_ns={**cpu_ns, "driver": usage.driver_cpu_ns},
            idle_cpu_ns=usage.idle_cpu_ns,
            drained_ms=self.drained_ms,
            left=self.left,
            company=self.company,
        )


def _tell_percentile(histogram: Histogram, count: int, percent: float, needed: int) -> float | None:
    """None where there are too few orders to tell."""
    return histogram.percentile_us(percent) if count >= needed else None


async def play_slice(
    spec: SetSpec,
    arm: ArmSpec,
    client: Client,
    planned: PlannedSlice,
    *,
    place: int,
    others: Iterable[int],
    company: bool,
    raw: WriteOrder | None,
    begun: "BegunSlice",
    watches_loop: bool = False,
    tools: Tools = TOOLS,
) -> PlayedSlice:
    """Plays a slice, and returns when nothing is in flight and the costs are read, or when patience is over.

    Orders that are in flight then go on, within the returned task. ``others`` are the processes of other arms;
    ``watches_loop`` is as in Phases. What a defect raised is in the task.
    """
    meter = tools.meter(arm.watch)
    others = tuple(others)
    await meter.read_now()
    idle_before, cpu_ns = read_cpu_ns(others), time.process_time_ns()
    deadline_s = arm.setting.deadline_s
    phases = Phases(
        warm_up_s=spec.lead_in_s,
        duration_s=spec.slice_s,
        drain_s=deadline_s,
        deadline_s=deadline_s,
        trace_every=arm.setting.trace_every,
        watches_loop=watches_loop,
    )
    driver = OpenDriver(
        client,
        planned.orders,
        phases,
        planned.window,
        clock=tools.clock,
        pacer=tools.pacer,
        raw=None if raw is None else shift_numbers(raw, planned.first_number),
        warm_up=planned.lead_in,
        pauses_gc=False,
    )
    begun.begin(driver)
    ends_s = START_LEAD_NS / 1e9 + spec.lead_in_s + spec.slice_s
    task = asyncio.create_task(driver.run())
    try:
        await asyncio.wait([task], timeout=ends_s + spec.patience_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    now_ns, cpu_ns = tools.clock(), time.process_time_ns() - cpu_ns
    idle_after = read_cpu_ns(others)
    left, finished = driver.in_flight, driver.record.all.finished
    await meter.read_now()
    parts, machine, wire_bytes, closed = await meter.compute_usage()
    return PlayedSlice(
        planned=planned,
        place=place,
        driver=driver,
        task=task,
        usage=SliceUsage(
            parts=parts,
            machine=machine,
            wire_bytes=wire_bytes,
            connections_closed=closed,
            driver_cpu_ns=cpu_ns,
            idle_cpu_ns=sum(used_ns - idle_before.get(pid, used_ns) for pid, used_ns in idle_after.items()),
        ),
        costed_orders=finished,
        drained_ms=max(0.0, (now_ns - driver.opened_ns) / 1e6 - spec.slice_s * 1e3),
        left=left,
        company=company,
        whole=driver.record.window.planned == count_planned(planned.window),
        opened_epoch_ms=round(time.time() * 1000 - (now_ns - driver.opened_ns) / 1e6),
    )


class BegunSlice:
    """The slice that is being played, so that it can be stopped and looked at."""

    def __init__(self) -> None:
        self.driver: OpenDriver | None = None
        self.stopped = False

    def begin(self, driver: OpenDriver) -> None:
        """Takes the driver of the slice that begins."""
        self.driver = driver
        if self.stopped:
            driver.stop()

    def stop(self) -> None:
        """Stops sending. Idempotent."""
        self.stopped = True
        if self.driver is not None:
            self.driver.stop()


def shift_numbers(write: WriteOrder, first: int) -> WriteOrder:
    """Returns a log of orders whose numbers go on from slice to slice."""

    def shifted(number: int, *rest: object) -> None:
        write(number + first, *rest)  # type: ignore[arg-type]

    return shifted


def read_cpu_ns(pids: Iterable[int]) -> dict[int, int]:
    """Reads the CPU time of each process; it takes a microsecond. One that has ended is left out."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            found[pid] = cost.cpu_ns(pid)
    return found
