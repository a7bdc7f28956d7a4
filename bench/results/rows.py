"""Defines the rows of a run's tables: trials, searches, connections, outages and hops.

The columns are described in docs/results-format.md.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bench.results.caveats import Caveat
from bench.results.durable_files import format_cell
from bench.results.histograms import Percentiles
from bench.results.measures import MEASURES, PERCENTILES
from bench.results.setting_spec import SettingSpec
from bench.results.settings import settings_by_column


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


_IDENTITY: Mapping[str, type] = {"round": int, "slot": int, "cell": str, "transport": str}
_JUDGEMENT: Mapping[str, type] = {"complete": bool, "valid": bool, "caveats": str}
_SETTING_AFTER = {"product": "store"}
"""Behind which column a setting stands; the others stand in the order of their table."""


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of trials.csv. None becomes an empty cell: not measured, or too few samples to tell."""

    round: int
    slot: int
    cell: str
    transport: str
    settings: Mapping[str, Any]
    """By column, see bench/results/settings.py."""
    measures: Mapping[str, Any]
    """By name, see bench/results/measures.py; of a latency its ``Percentiles``."""
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
        values: dict[str, Any] = {name: getattr(self, name) for name in (*_IDENTITY, "complete", "valid")}
        values |= {"caveats": ";".join(dict.fromkeys(caveat.name for caveat in self.caveats)), **self.settings}
        for name, value in self.measures.items():
            if isinstance(value, Percentiles):
                values |= {f"{name}_{percentile}": getattr(value, percentile) for percentile in PERCENTILES}
            else:
                values[name] = value
        return {column: format_cell(values.get(column)) for column in trial_columns()}


def trial_columns() -> dict[str, type]:
    """Return every column of trials.csv, in order, with the type in which it is read back."""
    placed: list[tuple[str, type, str]] = [(name, kind, "") for name, kind in _IDENTITY.items()]
    for column, setting in settings_by_column().items():
        placed.append((column, _setting_type(setting), _SETTING_AFTER.get(column, "")))
    for measure in MEASURES.values():
        placed += [(column, measure.kind, measure.after) for column in measure.columns]
    placed += [(name, kind, "") for name, kind in _JUDGEMENT.items()]
    order = [column for column, _, after in placed if not after]
    for column, _, after in placed:
        if after:
            order.insert(order.index(after) + 1, column)
    types = {column: kind for column, kind, _ in placed}
    return {column: types[column] for column in order}


def _setting_type(setting: SettingSpec) -> type:
    """A whole number without a default may be missing, as a float can be."""
    if setting.kind == "flag":
        return bool
    if setting.kind in ("count", "size") and setting.default is not None:
        return int
    return float if setting.kind in ("count", "size", "number", "numbers", "fraction", "seconds") else str


class SliceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of slices.csv: one slice of a cell in a set. None: too few orders to tell, or not measured."""

    round: int
    """The set."""
    slot: int
    """The cell's number in the set."""
    cell: str
    slice: int
    """Of the cell's, from 1 on: in all cells of a set the same arrivals."""
    place: int
    """In the set's program, from 1 on."""
    begins_s: float
    """From the beginning of the set's first slice."""
    opened_epoch_ms: int
    lead_in_s: float
    window_s: float
    first_number: int
    """Of the window's orders, as in raw/."""
    lead_in_planned: int
    lead_in_finished: int
    planned: int
    finished: int
    failed: int
    unfinished: int
    not_sent: int
    lead_in_p50_us: float | None
    """Completion in the lead-in; the next four are of the window."""
    accept_p50_us: float | None
    finish_p50_us: float | None
    finish_p99_us: float | None
    lateness_p50_us: float | None
    costed_orders: int
    """Of lead-in and window, finished when the costs were read: what the costs per order are divided by."""
    cpu_us_per_order_services: float | None
    cpu_us_per_order_broker: float | None
    cpu_us_per_order_database: float | None
    cpu_us_per_order_driver: float | None
    idle_cpu_ms: float
    """What services and brokers of other arms used meanwhile."""
    drained_ms: float
    """From the close of the window until nothing was in flight, or until the next slice was due."""
    left: int
    """Orders in flight when the next slice was due: a slice with any is marked."""
    company: int
    """1: it began while orders of an earlier slice were in flight, and is marked as well."""

    @property
    def values(self) -> tuple[Any, ...]:
        """The row's values, in order."""
        return msgspec.structs.astuple(self)


class OutageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of outages.csv. Times are from the opening of the window. None: no order says; infinite: never."""

    round: int
    slot: int
    cell: str
    fault: str
    fault_begin_s: float
    fault_end_s: float
    """When the part was ready again."""
    planned: int
    failed: int
    unfinished: int
    lost: int | None = None
    """Of the unfinished, those that the method had accepted and that are nowhere, at the least; None: not known."""
    redelivered: int | None = None
    """Messages that a service had answered before: delivered twice, and nothing done twice. None: not known."""
    duplicate_outcomes: int = 0
    """Outcomes for an order that already had one."""
    charged_unconfirmed: int | None = None
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
    backlog_drained_s: float | None
    """From when the part was back to the end of the last order that was planned until then and finished."""
    recovery_time_s: float | None
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
    """transfer: client, wire and broker; wait: for the event loop, for decoding and in queues; handle; store: its
    commit."""
    n: int
    mean_us: float
    p50_us: float
    loop_us: float | None = None
    """How much of the mean of a wait was for the event loop, by samples. None: of another part, or not sampled."""
    loop_error_us: float | None = None
    """How far its 95 % interval reaches either way; None of a single order."""
