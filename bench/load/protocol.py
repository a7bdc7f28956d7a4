"""Defines the trial specification and report that runner, master and workers exchange."""

from typing import Any, Literal

import msgspec

from bench.load.recorder import DriverRecord, Histogram, PackedHistogram, PackedTally, SampledOrder
from bench.load.workload.arrivals import Arrivals
from bench.load.workload.orders import DEFAULT_MIX, Mix, PayloadShape, Workload
from bench.load.workload.replay import ArrivalTrace
from bench.load.workload.shape import RateBurst, RateStep
from bench.results.measures import histogram_names
from transports.base import Setting
from transports.tracing import Stamp

LoadMode = Literal["open", "closed"]
# Messages of ours between master and workers, beside Locust's own.
DRAIN_MESSAGE = "fourways.drain"
"""To all workers: send no more, and tell how it ended."""
OPENED_MESSAGE = "fourways.opened"
"""From a worker: when its window opened."""
FINAL_MESSAGE = "fourways.final"
"""From a worker: its report."""
NEWS_MESSAGE = "fourways.news"
"""From a worker: what has come of a set so far."""
RANKS_OPTION = "trial_ranks"
"""The option of a spawn message that says which worker of the trial each node is."""


class ResourceWatch(msgspec.Struct, frozen=True, kw_only=True):
    """Processes and ports whose use the load process reads at the start and the end of the window."""

    parts: dict[str, tuple[int, ...]] = {}
    """Process ids by part: services, broker, database."""
    ports: tuple[int, ...] = ()
    """Of the servers whose connections carry the method's bytes."""


class PartUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one part (services, broker or database) used within the window."""

    cpu_ns: int
    peak_rss_mib: float
    context_switches: int
    died: tuple[int, ...] = ()


class MachineUsage(msgspec.Struct, frozen=True, kw_only=True):
    """CPU time of all cores within the window, whoever used it, in seconds."""

    duration_s: float
    busy_s: float
    steal_s: float


class TrialSpec(msgspec.Struct, frozen=True, kw_only=True, tag="trial"):
    """One trial as the load process is asked to run it.

    A user is ``orders_per_s_per_user`` orders a second in open mode, one looping client in closed mode.
    """

    id: str
    """Letters, digits and hyphens; order ids begin with it."""
    transport: str
    setting: Setting
    seed: int = 1
    payload_bytes: int = 1024
    shape: PayloadShape = "document"
    compressible: float = 1.0
    mix: Mix = DEFAULT_MIX
    arrivals: Arrivals = "poisson"
    step: RateStep = RateStep()
    burst: RateBurst = RateBurst()
    replay: ArrivalTrace | None = None
    mode: LoadMode = "open"
    users: int = 1
    orders_per_s_per_user: float = 1.0
    warm_up_s: float = 0.0
    """At least; 0: none. Its orders are in no plan and not counted."""
    warm_up_max_s: float = 0.0
    """While orders in flight and the median response rise or fall, up to this long."""
    duration_s: float | None = None
    """Of the window; None runs until stopped."""
    drain_s: float = 30.0
    """How long unfinished orders are waited for after the last one was sent."""
    in_flight_cap: int = 10_000
    """An order that is due while so many are in flight is not sent."""
    watch: ResourceWatch = ResourceWatch()
    store: str = "memory"
    """Of services that live in the load process: memory or sqlite."""
    raw: str = ""
    """A file for every order of the window, see ``bench.load.order_log``; several workers add their number to
    its name."""

    def __post_init__(self) -> None:
        """Raises ValueError with a sentence."""
        if self.users < 0:
            raise ValueError(f"users are a whole number from 0 on, not {self.users}")
        if not self.warm_up_s >= 0:
            raise ValueError(f"a warm-up takes 0 seconds or more, not {self.warm_up_s}")
        if not self.warm_up_max_s >= 0:
            raise ValueError(f"the longest warm-up takes 0 seconds or more, not {self.warm_up_max_s}")
        if self.duration_s is not None and not self.duration_s > 0:
            raise ValueError(f"a duration is a positive number of seconds, not {self.duration_s}")
        if self.arrivals == "replay" and self.replay is None:
            raise ValueError("replayed arrivals need their file; say which with `make bench ARRIVALS=replay REPLAY=…`")

    def build_workload(self, prefix: str) -> Workload:
        """Builds the trial's workload; its ids begin with ``prefix``. Raises ValueError for an impossible size."""
        return Workload(
            prefix=prefix,
            seed=self.seed,
            payload_bytes=self.payload_bytes,
            mix=self.mix,
            shape=self.shape,
            compressible=self.compressible,
        )

    @property
    def longest_s(self) -> float | None:
        """Seconds from the first order to the end of the drain, at most; None for a trial that runs until stopped."""
        if self.duration_s is None:
            return None
        return max(self.warm_up_s, self.warm_up_max_s) + self.duration_s + self.drain_s

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "TrialSpec":
        """Raises ValueError (msgspec.ValidationError among them) with a sentence."""
        return msgspec.json.decode(text, type=cls)


class DriverAudit(msgspec.Struct, kw_only=True):
    """The driver's own counts of all orders, warm-up included, to be compared with the shop's sums."""

    sent: int = 0
    failed: int = 0
    unfinished: int = 0
    shipped: PackedTally = msgspec.field(default_factory=PackedTally)
    rejected: PackedTally = msgspec.field(default_factory=PackedTally)


class SliceTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Of a report that covers the slices of a cell in a set: what one window alone does not have."""

    slices: int
    due: int
    """As many as the set's program has of this cell."""
    lead_in_s: float
    lead_in_p50_us: float | None
    """Completion of the orders of all lead-ins, the median."""
    costed_orders: int
    """Orders of lead-ins and windows that had finished when the costs were read: what these are divided by."""
    costed_s: float
    """Between the readings, in all slices."""
    idle_cpu_ns: int
    """What services and brokers of other arms used meanwhile."""
    left: int
    """Slices after which orders were still in flight when the next one was due."""
    company: int
    """Slices that began while orders of an earlier one were in flight."""


class TrialReport(msgspec.Struct, kw_only=True, tag="trial"):
    """What the workers report of a trial. Counts and histograms cover the orders planned within the window.

    bench/results/measures.py says of each measure how the reports of several workers are merged.
    """

    trial: str
    worker: int | None = None
    """Which of the trial's workers; None when it speaks for all of them."""
    workers: int = 1
    error: str | None = None
    """Why a worker could not run the trial, as a sentence; then the rest is not to be used."""
    plan_hash: str = ""
    """Empty when nothing was planned beforehand or the rate was edited."""
    planned: int = 0
    not_sent: int = 0
    sent: int = 0
    accepted: int = 0
    finished: int = 0
    failed: int = 0
    unfinished: int = 0
    accepted_unfinished: int = 0
    left_behind: int = 0
    """Orders among the unfinished that could not be cancelled."""
    duplicated: int = 0
    shipped: int = 0
    rejected: int = 0
    unexpected: int = 0
    """Outcomes that were not as planned, warm-up included."""
    failures: dict[str, int] = {}
    """By the name of the error's class."""
    warm_up_s: float = 0.0
    steady: bool = True
    """Whether the warm-up ended because nothing rose or fell any more; true where it was not to adapt."""
    window_s: float = 0.0
    achieved_per_s: float = 0.0
    """Orders that finished while the window was open, by its length."""
    histograms: dict[str, PackedHistogram] = {}
    """accept and finish from planned, accept_service and finish_service from sent, lateness from planned to sent;
    gap_sent and gap_planned from one order to the next."""
    audit: DriverAudit = msgspec.field(default_factory=DriverAudit)
    driver_cpu_ns: int = 0
    """CPU time of the load processes within the window."""
    costs: dict[str, PartUsage] = {}
    """By part, as ``TrialSpec.watch`` asked."""
    machine: MachineUsage | None = None
    wire_bytes: int | None = None
    """TCP payload through the watched ports within the window, both directions."""
    connections_closed: int = 0
    """Through these ports, within the window: what they carried is not in ``wire_bytes``."""
    began_ns: int = 0
    ended_ns: int = 0
    """The load processes' clock when the first began and when the last had ended."""
    opened_epoch_ms: int | None = None
    """When the window opened, by the wall clock."""
    payload_bytes: int = 0
    """The first order, as the codec made it."""
    gzip_share: float = 0.0
    """What gzip leaves of that, at its usual level 6."""
    driver_priority: str = ""
    in_flight_max: int = 0
    in_flight_mean: float = 0.0
    """Over time, while the window was open."""
    in_flight_by_instants: float = 0.0
    """What that should be by the orders' own instants: Little's law."""
    submit_mean_s: float | None = None
    """From sent to the return of ``submit``, of finished orders, by the driver's own clock."""
    accept_mean_s: float | None = None
    """From sent to acceptance, of the same orders, by the transport's word."""
    finished_by_part: list[int] = []
    """The window's finished orders, by the part of the window for which they were planned."""
    response_logs_by_part: list[float] = []
    """Natural logarithms of their responses in nanoseconds, summed."""
    in_flight_parts: list[float] = []
    """The mean over each part of the window, without orders that did not finish."""
    response_mean_s: float | None = None
    """From planned to finished."""
    service_mean_s: float | None = None
    """From sent to finished."""
    facts: dict[str, str] = {}
    """Settings of the transport as they turned out to be."""
    services_audit: dict[str, Any] | None = None
    """By service its tallies and its balance, where the services live in the load process."""
    sampled: list[SampledOrder] = []
    """Orders that the services were to stamp."""
    stamps: list[Stamp] = []
    """Theirs, where the services live in the load process."""
    totals: SliceTotals | None = None
    """Of a cell's slices in a set; None for a whole trial."""
    extra: dict[str, Any] = {}
    """Measures of the table (bench/results/measures.py) that have no field here, by name."""

    def histogram(self, name: str) -> Histogram:
        return Histogram.unpack([self.histograms[name]] if name in self.histograms else [])

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "TrialReport":
        return msgspec.json.decode(text, type=cls)

    @classmethod
    def of(cls, trial: str, worker: int, record: DriverRecord, plan_hash: str) -> "TrialReport":
        """Builds one worker's report from what its driver recorded."""
        window, every = record.window, record.all
        window_s = record.window_ns / 1e9
        return cls(
            trial=trial,
            worker=worker,
            plan_hash=plan_hash,
            planned=window.planned,
            not_sent=window.not_sent,
            sent=window.sent,
            accepted=window.accepted,
            finished=window.finished,
            failed=window.failed,
            unfinished=window.unfinished,
            accepted_unfinished=window.accepted_unfinished,
            shipped=record.shipped_in_window,
            rejected=record.rejected_in_window,
            unexpected=record.unexpected,
            failures=dict(record.failures),
            warm_up_s=record.warm_up_ns / 1e9,
            steady=record.steady,
            window_s=window_s,
            achieved_per_s=record.finished_within / window_s if window_s else 0.0,
            histograms={name: getattr(record, name).pack() for name in histogram_names()},
            audit=DriverAudit(
                sent=every.sent,
                failed=every.failed,
                unfinished=every.unfinished,
                shipped=PackedTally.of(record.shipped),
                rejected=PackedTally.of(record.rejected),
            ),
            driver_cpu_ns=record.driver_cpu_ns,
            in_flight_max=record.in_flight_max,
            in_flight_mean=record.in_flight_ns / record.window_ns if record.window_ns else 0.0,
            in_flight_by_instants=(record.sojourn_ns + record.in_flight_lost_ns) / record.window_ns
            if record.window_ns
            else 0.0,
            submit_mean_s=record.submit_ns / 1e9 / window.finished if window.finished else None,
            accept_mean_s=record.accept_ns / 1e9 / window.finished if window.finished else None,
            finished_by_part=record.finished_by_part,
            response_logs_by_part=record.response_logs_by_part,
            in_flight_parts=record.in_flight_parts,
            response_mean_s=record.response_ns / 1e9 / window.finished if window.finished else None,
            service_mean_s=record.service_ns / 1e9 / window.finished if window.finished else None,
            sampled=record.sampled,
            extra=dict(record.extra),
        )
