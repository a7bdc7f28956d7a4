"""Defines the rows of a run's tables: trials, searches, connections, outages and hops.

The columns are described in docs/results-format.md.
"""

import msgspec

from bench.results.caveats import Caveat
from bench.results.durable_files import format_cell
from bench.results.histograms import Percentiles


def trial_name(round_: int | str, slot: int | str, cell: str) -> str:
    """Return the name of a trial within its run, for instance ``r1-s2-rest``."""
    return f"r{round_}-s{slot}-{cell}"


class CapacityRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of capacity.csv: the result of a capacity search for one cell."""

    cell: str
    transport: str
    client: str
    codec: str
    slo_p99_ms: float
    answer: str
    last_pass_per_s: float | None
    first_fail_per_s: float | None
    trials: int
    reason: str


ECHO = "echo"
"""Beside which new connections are measured: no method, and no cell."""


class ColdStartRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of cold.csv: how long new connections took in one round, for a cell or for the bare echo server."""

    round: int
    cell: str
    """``echo@tls`` for the bare one."""
    transport: str
    client: str
    product: str
    codec: str
    security: str
    negotiated_cipher: str
    connections: int
    cold_us: float
    """From before the client connects to the outcome of its first order; the median over connections."""
    warm_us: float
    """Of the next order on the same connection."""


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of trials.csv. None becomes an empty cell: not measured, or too few samples to tell."""

    round: int
    slot: int
    cell: str
    transport: str
    client: str
    codec: str
    compression: str
    shape: str
    compressible: float
    order_bytes: int
    payload_bytes: int
    security: str
    negotiated_cipher: str = ""
    """Of TLS, as it was agreed on; empty where there is none."""
    durability: str
    store: str
    product: str
    processes: int
    retries: int
    keep_alive_s: float
    fault: str
    plan_hash: str
    arrivals: str
    rate_per_s: float
    offered_per_s: float
    achieved_per_s: float
    duration_s: float
    planned: int
    not_sent: int
    sent: int
    accepted: int
    finished: int
    failed: int
    unfinished: int
    failures: str = ""
    """Of those that failed, ``Unreachable:120;NoOutcome:3``."""
    lost: int | None
    duplicated: int
    shipped: int
    rejected: int
    accept: Percentiles
    finish: Percentiles
    finish_service: Percentiles
    accept_service: Percentiles
    lateness: Percentiles
    cpu_us_per_order_services: float | None = None
    cpu_us_per_order_broker: float | None = None
    cpu_us_per_order_driver: float | None = None
    rss_mib_services: float | None = None
    rss_mib_broker: float | None = None
    wire_bytes_per_order: float | None = None
    context_switches_per_order: float | None = None
    gzip_share: float | None = None
    ready_s: float | None = None
    warm_up_s: float | None = None
    in_flight_mean: float | None = None
    opened_epoch_ms: int | None = None
    achieved_share: float | None = None
    lateness_in_p99: float | None = None
    driver_share: float | None = None
    gap_distance: float | None = None
    gap_threshold: float | None = None
    little: float | None = None
    steal_share: float | None = None
    others_cores: float | None = None
    slowness: float | None = None
    complete: bool
    """Nothing failed, nothing is missing, and the books agree."""
    valid: bool
    """It was measured, the books agree, and bench.trial.validity had nothing against it."""
    caveats: tuple[Caveat, ...] = ()

    @property
    def name(self) -> str:
        """Unique within a run; tags the trial's histograms."""
        return trial_name(self.round, self.slot, self.cell)

    def row(self) -> dict[str, str]:
        """Return the row's cells as text, by column, in order."""
        cells: dict[str, str] = {}
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, Percentiles):
                cells |= {f"{field}_{name}": format_cell(getattr(value, name)) for name in value.__struct_fields__}
            elif field == "caveats":
                cells[field] = ";".join(dict.fromkeys(caveat.name for caveat in self.caveats))
            else:
                cells[field] = format_cell(value)
        return cells


def _build_trial_columns() -> dict[str, type]:
    """Every column of trials.csv with the type in which it is read back."""
    types: dict[str, type] = {}
    for field in msgspec.structs.fields(TrialRow):
        if field.type is Percentiles:
            types |= {f"{field.name}_{name}": float for name in Percentiles.__struct_fields__}
        elif field.type in (int, str, bool):
            types[field.name] = field.type
        else:
            types[field.name] = str if field.name == "caveats" else float
    return types


TRIAL_COLUMNS = _build_trial_columns()


class OutageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of outages.csv. Times are from the opening of the window. None: no order says; infinite: never."""

    round: int
    slot: int
    cell: str
    fault: str
    began_s: float
    back_s: float
    """When the part was ready again."""
    planned: int
    failed: int
    unfinished: int
    lost: int | None = None
    """Of the unfinished, those that the method had accepted and that are nowhere, at the least; None: not known."""
    asked_again: int | None = None
    """Messages that a service had answered before: delivered twice, and nothing done twice. None: not known."""
    told_twice: int = 0
    """Outcomes for an order that already had one."""
    charged_unheard: int | None = None
    """Orders whose buyer was charged, and never heard that they shipped: failed or unfinished in the buyer's eyes."""
    delayed: int
    """Orders that finished and took longer than the slowest before the outage."""
    failures: str = ""
    """What their buyers were told, as in trials.csv."""
    accept_before_p50_us: float | None = None
    accept_during_p50_us: float | None = None
    """The same of the time to the acceptance."""
    before_p50_us: float | None
    during_p50_us: float | None
    """Of the orders planned while the part was away; infinite if half of them did not finish."""
    longest_us: float | None
    """Of an order that finished."""
    backlog_gone_s: float | None
    """From when the part was back to the end of the last order that was planned until then and finished."""
    as_before_s: float | None
    """From when the part was back until orders finish as before and go on to; infinite if the window ended sooner."""


class TimelineBin(msgspec.Struct, frozen=True, kw_only=True):
    """One row of timeline.csv: the orders planned in BIN_S of a trial in whose middle something happened."""

    round: int
    slot: int
    cell: str
    fault: str
    from_s: float
    """From when the part was away: before that it is negative."""
    planned: int
    failed: int
    accept_p50_us: float | None
    finish_p50_us: float | None
    """Infinite: half of them were not accepted, or did not finish."""


class HopRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of hops.csv: one part of an order's way, over all sampled orders of a trial."""

    number: int
    """From 1 on, in the order of time."""
    service: str
    """Who had it, or to whom it was on its way."""
    message: str
    part: str
    """transfer: client, wire and broker; wait: decoding and queueing in the process; handle; store: its commit."""
    n: int
    mean_us: float
    p50_us: float
