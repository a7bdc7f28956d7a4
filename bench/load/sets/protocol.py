"""Defines the program of a set and its report, which runner, master and load process exchange.

An arm is one setting of services; a cell is an arm with a load; a slice is a short window of a cell.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bench.load.protocol import MachineUsage, PartUsage, ResourceWatch, TrialReport, TrialSpec
from bench.load.recorder import PackedRecord
from bench.load.workload.arrivals import Arrivals
from bench.load.workload.orders import DEFAULT_MIX, Mix, PayloadShape
from transports.base import Setting
from transports.tracing import Stamp

CONNECT_S = 60.0
"""What a load process may take to connect to all arms."""
SPARE_S = 10.0
"""What it may take longer than what it does; a machine that is busy takes some of it."""


class ArmSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Services that are up all through the set, and how they are reached."""

    transport: str
    setting: Setting
    prefix: str
    """Of the order ids of its warm-up; unique in the set."""
    watch: ResourceWatch = ResourceWatch()
    process: int = 0
    """Which load process has it: one that lives in its load process has one of its own."""
    store: str = "memory"
    """Of services that live in the load process: memory or sqlite."""
    left_out: str = ""
    """Why none of its slices are played, as a sentence; empty: they are."""


class CellSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A load on an arm."""

    name: str
    arm: int
    """Its place in ``SetSpec.arms``."""
    prefix: str
    """Of its order ids; unique in the set."""
    orders_per_s: float
    arrivals: Arrivals = "poisson"
    payload_bytes: int = 1024
    shape: PayloadShape = "document"
    compressible: float = 1.0
    mix: Mix = DEFAULT_MIX
    raw: str = ""
    """A file for every order of its windows, see ``bench.load.order_log``."""


class SliceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of the program."""

    cell: int
    """Its place in ``SetSpec.cells``."""
    number: int
    """Of the cell's slices, from 1 on."""
    seed: int
    """Of its arrivals: the same in all cells for the same number, so that they are paired."""


class SetSpec(msgspec.Struct, frozen=True, kw_only=True, tag="set"):
    """A set as the load process is asked to play it: everything is said beforehand."""

    id: str
    """Letters, digits and hyphens."""
    arms: tuple[ArmSpec, ...]
    cells: tuple[CellSpec, ...]
    slices: tuple[SliceSpec, ...]
    """In the order in which they are played."""
    slice_s: float
    """The length of a slice's window."""
    lead_in_s: float = 0.1
    """From a slice's first order to the opening of its window; 0: none."""
    seed: int = 1
    """Of the contents of orders."""
    warm_up_s: float = 0.0
    """Of all arms at once, at least; 0: none."""
    warm_up_max_s: float = 0.0
    """At most, while some arm is not steady; not more than ``warm_up_s``: it is as long as that."""
    processes: int = 1
    """How many load processes play it by turns."""
    from_place: int = 1
    """Of the program: where this load process goes on."""
    patience_s: float = 0.25
    """From the close of a window to the next slice, at most: sooner where nothing is in flight."""

    def __post_init__(self) -> None:
        """Raises ValueError with a sentence."""
        if not self.slices:
            raise ValueError("a set has a slice or more")
        if not self.slice_s > 0:
            raise ValueError(f"a slice takes a positive number of seconds, not {self.slice_s}")
        if any(arm.setting.workers != 1 for arm in self.arms):
            raise ValueError("an arm of a set is played by one load process")
        if any(not 0 <= arm.process < self.processes for arm in self.arms):
            raise ValueError(f"an arm is for a load process that is none of the {self.processes}")

    @property
    def drain_s(self) -> float:
        """How long orders that are left are waited for at the end."""
        return max(arm.setting.deadline_s for arm in self.arms)

    @property
    def longest_s(self) -> float:
        """Seconds from the first order to the end of the drain, at most."""
        slices_s = len(self.slices) * (self.lead_in_s + self.slice_s + self.patience_s)
        return max(self.warm_up_s, self.warm_up_max_s) + slices_s + 2 * self.drain_s

    def find_longest_silence_s(self, last: "SetNews | None") -> float:
        """Returns after how many seconds without news a load process will not send any, by the last that it sent."""
        if last is None or (last.next is None and not last.first_ns):
            return CONNECT_S + max(self.warm_up_s, self.warm_up_max_s) + self.drain_s + SPARE_S
        if last.next != 0:
            return self.lead_in_s + self.slice_s + self.patience_s + SPARE_S
        return 2 * self.drain_s + SPARE_S

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


class SliceReport(msgspec.Struct, kw_only=True):
    """What one slice showed. Counts and percentiles are of its window, unless a name says otherwise."""

    cell: int
    number: int
    place: int
    """In the set's program, from 1 on."""
    begins_ns: int
    """When orders of it are due, by the load process's clock."""
    opened_epoch_ms: int
    lead_in_s: float
    window_s: float
    first_number: int
    """Of its orders, in the file of all orders."""
    lead_in_planned: int
    lead_in_finished: int
    planned: int
    finished: int
    failed: int
    unfinished: int
    not_sent: int
    lead_in_p50_us: float | None
    accept_p50_us: float | None
    finish_p50_us: float | None
    finish_p99_us: float | None
    lateness_p50_us: float | None
    costed_orders: int
    """Of lead-in and window, finished when the costs were read."""
    cpu_ns: dict[str, int]
    """By part, over lead-in and window together; ``driver`` among them. A part of which a process died is not there."""
    idle_cpu_ns: int
    """Of services and brokers of other arms, meanwhile."""
    drained_ms: float
    """From the close of the window until nothing was in flight, or until the next slice was due."""
    left: int
    """Orders still in flight then."""
    company: bool
    """It began while orders of an earlier slice were in flight."""


class SliceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What was used between the two readings of a slice."""

    parts: dict[str, PartUsage]
    machine: MachineUsage | None
    wire_bytes: int | None
    connections_closed: int
    driver_cpu_ns: int
    idle_cpu_ns: int
    """Of services and brokers of other arms."""


class EndedSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice all of whose orders have ended."""

    report: SliceReport
    record: PackedRecord
    usage: SliceUsage
    plan_hash: str
    lead_in_us: list[int]
    """Completion of each order of the lead-in."""
    duplicated: int
    """Outcomes beyond the first of an order that came while it was played."""
    left_behind: int
    """Orders that could not be cancelled."""
    whole: bool
    """It was not stopped before the end of its window."""


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a load process knows of an arm beside its slices; a later report takes the place of an earlier one."""

    arm: int
    error: str | None = None
    """Why it could not go on, as a sentence."""
    warm_up: PackedRecord | None = None
    """Of all orders of its warm-up."""
    steady: bool = True
    left_behind: int = 0
    """Orders of the warm-up that could not be cancelled."""
    facts: dict[str, str] = {}
    driver_priority: str = ""
    services_audit: dict[str, Any] | None = None
    """Of services that live in the load process, at the end."""
    stamps: list[Stamp] = []
    """Theirs."""


class SetNews(msgspec.Struct, frozen=True, kw_only=True):
    """What has come of a set since the last news."""

    next: int | None
    """The place of the slice that begins now; 0: no more will here. None: another load process has the turn."""
    first_ns: int = 0
    """When this load process began its first slice, by its clock."""
    arms: list[ArmReport] = []
    slices: list[EndedSlice] = []

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


class SetReport(msgspec.Struct, kw_only=True, tag="set"):
    """What a load process reports when it has ended its part of a set; slices and arms were in its news."""

    id: str
    error: str | None = None
    """Why it could not be played, as a sentence."""
    warm_up_s: float = 0.0
    played_s: float = 0.0
    """From the first slice to the end of the last."""
    drained_s: float = 0.0
    """From there until nothing was in flight any more."""
    began_ns: int = 0
    ended_ns: int = 0

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


def merge_set_reports(reports: Sequence[SetReport]) -> SetReport:
    """Merges the reports of load processes that played by turns. ``reports`` is not empty."""
    return SetReport(
        id=reports[0].id,
        error=next((report.error for report in reports if report.error), None),
        warm_up_s=max(report.warm_up_s for report in reports),
        played_s=max(report.played_s for report in reports),
        drained_s=max(report.drained_s for report in reports),
        began_ns=min(report.began_ns for report in reports),
        ended_ns=max(report.ended_ns for report in reports),
    )


def parse_news(text: str | bytes) -> list[SetNews]:
    """Raises ValueError when it is none."""
    return msgspec.json.decode(text, type=list[SetNews])


def parse_spec(text: str | bytes) -> TrialSpec | SetSpec:
    """Raises ValueError (msgspec.ValidationError among them) with a sentence."""
    return msgspec.json.decode(text, type=TrialSpec | SetSpec)


def parse_report(text: str | bytes) -> TrialReport | SetReport:
    """Raises ValueError when it is none."""
    return msgspec.json.decode(text, type=TrialReport | SetReport)
