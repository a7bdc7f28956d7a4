"""Every measure of a trial, declared once; merging, columns of trials.csv and what is summarised follow.

It imports the standard library alone, as the load process reads it too.
"""

from dataclasses import dataclass
from typing import Literal

Merge = Literal[
    "",
    "sum",
    "min",
    "max",
    "mean",
    "first",
    "all",
    "words",
    "counts",
    "parts",
    "list",
    "histogram",
    "digest",
    "observer",
    "audit",
    "services_audit",
]
"""How the values of several load processes become one; bench/load/merging.py does it. ``mean`` weighs by finished
orders, ``observer`` takes that of the process that watched the services, ``parts`` adds up part by part. Empty: it is
computed from what was merged."""
Use = Literal["summary", "ratio", "compare", "effect", "orders", "health"]
"""Where a measure appears. ``summary``: its median over trials, in summary.json and the terminal. ``ratio``: its ratio
to REST there. ``compare``: its ratio between two runs. ``effect``: what a factor does to it. ``orders``: its sum over
all trials. ``health``: it may make a trial invalid."""

PERCENTILES = ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")
"""The columns of a histogram, behind its name."""
DEAD_LETTERS = "dead_letters_"
"""Before the reason, in the columns that count dead letters."""
HEADLINE_PERCENTILES = ("p50_us", "p99_us")
"""Those of them that are compared; the summary has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """One measure. ``name`` is the field of a load process's report, and the column of trials.csv."""

    name: str
    help: str
    unit: str = ""
    kind: type = float
    """Of a column's cells. A float may be empty: not measured, or too few samples."""
    merge: Merge = ""
    column: bool = True
    """Whether it has a column of trials.csv; a histogram has one for each of PERCENTILES."""
    after: str = ""
    """Behind which column it stands; empty: in the order of the table, behind the settings."""
    better: Literal["", "lower", "higher"] = ""
    uses: tuple[Use, ...] = ()
    heading: str = ""
    """What tables call it; empty: its name."""
    shown_unit: str = ""
    """The unit in tables; empty: ``unit``."""
    scale: float = 1.0
    """How many of ``unit`` are one of ``shown_unit``."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns of trials.csv."""
        if not self.column:
            return ()
        return tuple(f"{self.name}_{name}" for name in PERCENTILES) if self.merge == "histogram" else (self.name,)

    def columns_in(self, use: Use) -> tuple[str, ...]:
        """Its columns that appear there."""
        if use not in self.uses:
            return ()
        if self.merge == "histogram" and use != "summary":
            return tuple(f"{self.name}_{name}" for name in HEADLINE_PERCENTILES)
        return self.columns


@dataclass(frozen=True, slots=True)
class ColumnLabel:
    """What tables say of a column: its heading, and the unit of which ``scale`` of its own are one."""

    heading: str
    unit: str
    scale: float

    @property
    def with_unit(self) -> str:
        """The heading and the unit, which stands there once."""
        return self.heading if not self.unit or self.unit in self.heading.split() else f"{self.heading}, {self.unit}"


def _count(name: str, help_: str, *uses: Use, better: Literal["", "lower"] = "") -> MeasureSpec:
    return MeasureSpec(name=name, help=help_, unit="orders", kind=int, merge="sum", better=better, uses=uses)


def _latency(name: str, help_: str, *uses: Use) -> MeasureSpec:
    return MeasureSpec(
        name=name,
        help=help_,
        unit="us",
        shown_unit="ms",
        scale=1000.0,
        merge="histogram",
        better="lower",
        uses=uses,
    )


def _inner(name: str, help_: str, merge: Merge, unit: str = "") -> MeasureSpec:
    """A measure without a column, from which others are computed."""
    return MeasureSpec(name=name, help=help_, unit=unit, merge=merge, column=False)


def _dead_letters(reason: str, why: str) -> MeasureSpec:
    return MeasureSpec(
        name=f"{DEAD_LETTERS}{reason}",
        unit="messages",
        better="lower",
        help=f"dead letters of all services, warm-up included, of which each {why}; 0 in a chain",
    )


def _table(*specs: MeasureSpec) -> dict[str, MeasureSpec]:
    return {spec.name: spec for spec in specs}


MEASURES: dict[str, MeasureSpec] = _table(
    # What was asked for, and what came.
    MeasureSpec(
        name="plan_hash",
        kind=str,
        merge="digest",
        after="fault",
        help="SHA-256 of the orders and their times: equal for all cells of a round, and for runs of the same settings",
    ),
    MeasureSpec(
        name="offered_per_s", unit="orders/s", help="orders a second that the arrivals have in the window, in the mean"
    ),
    MeasureSpec(
        name="achieved_per_s",
        unit="orders/s",
        merge="sum",
        better="higher",
        uses=("summary",),
        help="orders a second that finished while the window was open",
    ),
    MeasureSpec(name="duration_s", unit="s", help="the length of the window, without its warm-up"),
    _count("planned", "orders of the window; planned = sent + not_sent", "orders"),
    _count("not_sent", "orders that the driver could not send", "orders", better="lower"),
    _count("sent", "orders sent; sent = finished + failed + unfinished", "orders"),
    _count("accepted", "orders that the method took"),
    _count("finished", "orders whose outcome reached the driver; finished = shipped + rejected", "orders"),
    _count("failed", "orders that ended with an error", "orders", better="lower"),
    _count("unfinished", "orders without an outcome after the drain", "orders", better="lower"),
    MeasureSpec(
        name="failures",
        kind=str,
        merge="counts",
        help="failed orders by the error's name, such as `NoOutcome:3;Unreachable:120` (transports/errors.py)",
    ),
    MeasureSpec(
        name="lost",
        unit="orders",
        better="lower",
        uses=("orders",),
        help="of the unfinished, those accepted and nowhere after the drain, at the least",
    ),
    _dead_letters("unreadable", "cannot be decoded, or came from a role that may not send it"),
    _dead_letters("refused", "has an order id that was used before, for other content"),
    _dead_letters("failed", "made its handler fail, or leads to a fact that cannot be sent"),
    _dead_letters("parked", "met a service that could not store for longer than the limit"),
    _count("duplicated", "outcomes beyond the first of an order, warm-up included", "orders", better="lower"),
    _count("shipped", "finished orders that shipped"),
    _count("rejected", "finished orders that were refused: out of stock, or the card declined"),
    # How long it took.
    _latency("accept", "from the planned instant to the acceptance", "summary", "ratio", "compare", "effect"),
    _latency("finish", "from the planned instant to the outcome", "summary", "ratio", "compare", "effect"),
    _latency("finish_service", "from the instant of sending to the outcome", "summary"),
    _latency("accept_service", "from the instant of sending to the acceptance", "summary"),
    _latency(
        "lateness", "from the planned instant to the instant of sending: the driver's own delay", "summary", "health"
    ),
    # What it cost.
    MeasureSpec(
        name="cpu_us_per_order_services",
        heading="CPU of services",
        unit="us",
        better="lower",
        uses=("summary", "ratio", "compare", "effect"),
        help="CPU time of the services' threads in the window, over the orders that finished in it; idling included",
    ),
    MeasureSpec(
        name="cpu_us_per_order_broker",
        heading="CPU of the broker",
        unit="us",
        better="lower",
        uses=("summary", "compare", "effect"),
        help="the same of the broker",
    ),
    MeasureSpec(
        name="cpu_us_per_order_database",
        unit="us",
        better="lower",
        uses=("summary", "compare", "effect"),
        help="the same of the PostgreSQL server, with STORE=postgres alone",
    ),
    MeasureSpec(
        name="cpu_us_per_order_driver",
        unit="us",
        better="lower",
        uses=("summary",),
        help="the same of the load processes",
    ),
    MeasureSpec(
        name="wire_bytes_per_order",
        heading="bytes on the wire",
        unit="bytes",
        better="lower",
        uses=("summary", "ratio", "compare", "effect"),
        help="TCP payload in both directions at the ports of the services or of the broker, each connection once. A "
        "connection that ended in the window counts nothing. The doubt `connections-closed` says how many did; those "
        "that came and went are told by the machine's own count, which has other programs' too",
    ),
    MeasureSpec(
        name="context_switches_per_order",
        unit="switches",
        better="lower",
        uses=("summary",),
        help="of the services' threads, voluntary or not",
    ),
    MeasureSpec(
        name="payload_bytes",
        heading="bytes of a body",
        unit="bytes",
        kind=int,
        merge="first",
        after="order_bytes",
        better="lower",
        uses=("effect",),
        help="the first order's body, as the cell's codec made it",
    ),
    MeasureSpec(
        name="rss_mib_services",
        heading="memory of services",
        unit="MiB",
        after="cpu_us_per_order_driver",
        better="lower",
        uses=("summary", "effect"),
        help="the services' peak memory in the window, added up over processes",
    ),
    MeasureSpec(
        name="rss_mib_broker",
        heading="memory of the broker",
        unit="MiB",
        after="rss_mib_services",
        better="lower",
        uses=("summary", "effect"),
        help="the same of the broker",
    ),
    MeasureSpec(
        name="rss_mib_database",
        unit="MiB",
        after="rss_mib_broker",
        better="lower",
        uses=("summary", "effect"),
        help="the same of the PostgreSQL server; memory that its processes share counts in each",
    ),
    MeasureSpec(
        name="gzip_share",
        merge="first",
        help="what gzip (level 6) leaves of the first order's body, whether the method compresses or not",
    ),
    MeasureSpec(
        name="ready_s",
        unit="s",
        better="lower",
        uses=("summary",),
        help="from the start of the service processes to the return of a probe order that went through all of them",
    ),
    MeasureSpec(
        name="negotiated_cipher",
        kind=str,
        after="security",
        help="the TLS suite that a buyer and the first server whom he meets agreed on; empty without TLS",
    ),
    # Whether it can be trusted.
    MeasureSpec(name="warm_up_s", unit="s", merge="max", help="how long the warm-up was"),
    MeasureSpec(
        name="in_flight_mean",
        unit="orders",
        merge="sum",
        uses=("summary",),
        help="orders in flight while the window was open, over time",
    ),
    MeasureSpec(name="opened_epoch_ms", unit="ms", merge="first", help="when the window opened, by the wall clock"),
    MeasureSpec(
        name="achieved_share",
        better="higher",
        uses=("health",),
        help="orders that finished while the window was open, over those planned",
    ),
    MeasureSpec(
        name="lateness_in_p99",
        better="lower",
        uses=("health",),
        help="p99 of `finish` over p99 of `finish_service`, less 1: what late sending added",
    ),
    MeasureSpec(
        name="driver_share",
        unit="cores",
        better="lower",
        uses=("health",),
        help="of one core, what a load process used",
    ),
    MeasureSpec(
        name="gap_distance",
        better="lower",
        uses=("health",),
        help="the largest difference between the distributions of gaps, sent and planned (Kolmogorov and Smirnov, a "
        "millisecond allowed)",
    ),
    MeasureSpec(name="gap_threshold", uses=("health",), help="what `gap_distance` may be by chance in 1 of 100 trials"),
    MeasureSpec(
        name="littles_law_error",
        uses=("summary", "health"),
        help="orders in flight over what their own instants come to (from sent to finished, as far as the window was "
        "open), less 1",
    ),
    MeasureSpec(
        name="acceptance_error",
        better="lower",
        uses=("health",),
        help="of the mean time until the driver's own call of `submit` returned, the share that lies behind the "
        "acceptance by the transport's word",
    ),
    MeasureSpec(
        name="response_trend",
        uses=("health",),
        help="by which share the geometric mean response rose from the first twelfth of the window to the last one, by "
        "a straight line through the logarithms; of slices in each of them, empty where the rate varies",
    ),
    MeasureSpec(
        name="steal_share",
        better="lower",
        uses=("summary", "health"),
        help="of all cores' time, what the host took for other guests",
    ),
    MeasureSpec(
        name="background_cores",
        unit="cores",
        better="lower",
        uses=("summary", "health"),
        help="cores that other programs used",
    ),
    MeasureSpec(
        name="cpu_slowdown",
        better="lower",
        uses=("summary", "health"),
        help="CPU time of a fixed piece of work, ten times a second beside the trial: its median over that of the "
        "fastest trial so far. Beyond 1.25 there is the doubt `machine-speed-changed`, beyond 2.0 the trial is invalid",
    ),
    # In the report alone.
    _inner("accepted_unfinished", "accepted orders without an outcome", "sum", "orders"),
    _inner("left_behind", "unfinished orders that could not be cancelled", "sum", "orders"),
    _inner("unexpected", "outcomes that were not as planned, warm-up included", "sum", "orders"),
    _inner("window_s", "the length of the window", "max", "s"),
    _inner("steady", "whether the warm-up ended because nothing rose or fell any more", "all"),
    _inner("gap_sent", "from one order of the window to the next, as sent", "histogram", "us"),
    _inner("gap_planned", "from one order of the window to the next, as planned", "histogram", "us"),
    _inner("driver_cpu_ns", "CPU time of the load processes within the window", "sum", "ns"),
    _inner("costs", "by part, what services and broker used within the window", "observer"),
    _inner("machine", "CPU time of all cores within the window", "observer"),
    _inner("wire_bytes", "TCP payload through the watched ports within the window", "observer", "bytes"),
    _inner("connections_closed", "watched connections that ended within the window", "observer"),
    _inner("began_ns", "when the first load process began, by its clock", "min", "ns"),
    _inner("ended_ns", "when the last load process had ended, by its clock", "max", "ns"),
    _inner("in_flight_max", "the most orders in flight", "sum", "orders"),
    _inner("in_flight_by_instants", "orders in flight by their own instants (Little's law)", "sum", "orders"),
    _inner("in_flight_parts", "orders in flight in each part of the window, in the mean", "parts", "orders"),
    _inner("finished_by_part", "finished orders by the part of the window in which they came", "parts", "orders"),
    _inner("response_logs_by_part", "natural logarithms of their responses in nanoseconds, summed", "parts"),
    _inner("submit_mean_s", "from sent to the return of submit, in the mean", "mean", "s"),
    _inner("accept_mean_s", "from sent to acceptance by the transport's word, in the mean", "mean", "s"),
    _inner("totals", "of a cell's slices in a set, what one window alone does not have", "first"),
    _inner("response_mean_s", "from planned to finished, in the mean", "mean", "s"),
    _inner("service_mean_s", "from sent to finished, in the mean", "mean", "s"),
    _inner("driver_priority", "the scheduling of the load processes", "words"),
    _inner("facts", "settings of the transport as they turned out to be", "first"),
    _inner("audit", "the driver's own counts of all orders, warm-up included", "audit"),
    _inner("services_audit", "the services' sums, where they live in the load process", "services_audit"),
    _inner("sampled", "orders that the services were to stamp", "list"),
    _inner("stamps", "their stamps, where the services live in the load process", "list"),
)
"""By name, in the order of the columns."""


def merged_measures() -> tuple[MeasureSpec, ...]:
    """The measures that a load process reports, each of which is merged."""
    return tuple(spec for spec in MEASURES.values() if spec.merge)


def histogram_names() -> tuple[str, ...]:
    """The measures that are histograms, in a report and in histograms.hlog."""
    return tuple(spec.name for spec in MEASURES.values() if spec.merge == "histogram")


def latency_names() -> tuple[str, ...]:
    """The histograms whose percentiles are columns."""
    return tuple(name for name in histogram_names() if MEASURES[name].column)


def columns_used_in(use: Use) -> tuple[str, ...]:
    """The columns of trials.csv that appear there, in the order of the table."""
    return tuple(column for spec in MEASURES.values() for column in spec.columns_in(use))


def holds_speed(column: str) -> bool:
    """Whether a column of trials.csv that a measure has is a time, which the machine's speed is in; a count is none."""
    return _find_spec(column).unit == "us"


def label_column(column: str) -> ColumnLabel:
    """What tables say of a column of trials.csv that a measure has."""
    spec = _find_spec(column)
    heading = spec.heading or spec.name.replace("_", " ")
    if spec.merge == "histogram":
        heading += f" {column.removeprefix(spec.name + '_').removesuffix('_us')}"
    return ColumnLabel(heading, spec.shown_unit or spec.unit, spec.scale)


def _find_spec(column: str) -> MeasureSpec:
    return next(spec for spec in MEASURES.values() if column in spec.columns)
