"""The resolved profile of a run, and a cell: one column of the experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from bench.load.workload.arrivals import Arrivals
from bench.load.workload.orders import PayloadShape
from bench.load.workload.replay import ArrivalTrace
from bench.load.workload.shape import RateBurst, RateStep, choose_rate_shape
from bench.profile.fault import Fault
from bench.results.settings import settings_by_column
from shop.store import Durability
from transports import registry
from transports.base import Transport

StoreKind = Literal["memory", "sqlite", "postgres"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of the experiment: a transport over a backend, with a client, a codec and a compression.

    ``name`` is stable.
    """

    name: str
    transport: str
    product: str
    """Empty where the method has no choice."""
    client: str
    codec: str
    compression: str
    rate_per_s: float
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """For ``Setting.options``, the client among them."""
    levels: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What differs from the profile in this cell, by the profile's own keys: sizes, shapes, arrivals."""

    @property
    def method(self) -> str:
        """Its name without the rate, or the arm: what is the same at all of them."""
        return self.name.partition("@")[0]

    @property
    def pairing(self) -> str:
        """Its transport, and the product where that is not the method's own."""
        own = registry.load_transport(self.transport).product
        return self.transport if self.product == own else f"{self.transport}+{self.product}"

    @property
    def kind(self) -> type[Transport]:
        """The class of its transport."""
        return registry.load_transport(self.transport, self.product)


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workload, resolved: everything that decides what is measured, and so what stands in the manifest."""

    name: str
    transports: tuple[str, ...]
    by_name: bool
    """The transports were asked for with TRANSPORT=: one that cannot be had is an error, and else is skipped."""
    also: tuple[str, ...]
    """Cells, as transport[:client][+product][+codec][+compression], that are added when no codec is given; see
    ``cells``."""
    rates_per_s: tuple[float, ...]
    """Every method is measured at each. Before and after a step; the mean of bursts, and of a replay."""
    arrivals: Arrivals
    step: RateStep
    burst: RateBurst
    replay: ArrivalTrace | None
    """None unless it is what ``arrivals`` asks for; then rate and duration are its own."""
    duration_s: float
    warm_up_s: float
    warm_up_max_s: float
    """A warm-up ends when nothing rises or falls any more, but not before the one and not after the other."""
    broker_warm_up_s: float
    """For how long a broker is used, twice, before its first trial: its code is compiled as it runs."""
    rounds: int
    """With slices it is the number of sets; the least where they go on until the ratios are told."""
    slice_s: float = 0.0
    """Of the window of a slice; 0: there are whole trials, one after the other."""
    slices: int = 6
    """Of each cell in a set."""
    lead_in_s: float = 0.1
    """From the first order of a slice to the opening of its window."""
    yardstick: str = "none"
    """Which bare chains are cells of a set: "rest", "each" method's, or "none"."""
    until_told: bool = False
    """Whether sets go on until the headline ratios are known to ``tell``, or ``within_s`` is over."""
    tell: float = 0.05
    """How far an interval may reach either way."""
    within_s: float = 180.0
    arms: int = 1
    """1, or 2: every method stands in each round twice, as ``rest@a`` and ``rest@b``, which are the same (A/A)."""
    payload_bytes: int
    """The size of the order's compact JSON, whatever the codec."""
    shape: PayloadShape
    """What gives an order its size: a document, or more lines."""
    compressible: float
    """The share of that which is words and numbers and not noise."""
    codec: str | None
    """None: each transport's own."""
    compression: str
    """For all cells; one that cannot is an error."""
    security: str
    """A level of transports/security/levels.py."""
    durability: Durability
    store: StoreKind
    processes: int
    """Of each service."""
    interpreter: str = "own"
    """With which services are started: the harness's own, or a name of bench/provision/interpreters.py."""
    backend: str
    """Over which the methods run that have the choice; empty: each over its own."""
    clients: Mapping[str, str]
    """The client library by transport, where it is not the transport's own choice."""
    options: Mapping[str, Mapping[str, Any]]
    """Further settings of a transport, by its name."""
    max_message_bytes: int
    deadline_s: float
    seed: int
    trace_every: int
    """One in so many orders is stamped at every service; 0: none."""
    retries: int
    """How often REST and gRPC ask again when nobody listened or the connection was lost."""
    keep_alive_s: float
    """How long clients keep an idle connection; 0: as long as each library does."""
    fault: Fault | None
    """What is away for a while, in the middle of every trial's window."""
    slo_p99_ms: float | None
    """What p99 of completion is to stay under in a search for the capacity; None: there is no search."""
    raw: bool
    """Whether every order is kept, not only the histograms."""
    report: bool
    """Whether the report is drawn at the end of the run."""
    connections: bool = False
    """Whether new connections are measured as well, beside a bare echo: as many rounds of them, behind the trials."""
    extra: Mapping[str, Any] = {}
    """Settings of the table that have no field here, by their keys."""
    ports: int | None
    """The first of four ports in a row on which the services listen; None: free ones."""
    designed: tuple[Cell, ...] = ()
    """The cells of a profile with blocks of factors; without any, cells follow from transports and rates."""

    def offered_per_s(self, rate_per_s: float) -> float:
        """Orders a second that arrive in the window in the mean, at one of the rates."""
        return self.orders(rate_per_s) / self.duration_s

    def orders(self, rate_per_s: float) -> float:
        """How many are planned for a trial in the mean, at one of the rates."""
        return rate_per_s * choose_rate_shape(self.arrivals, self.step, self.burst).area(self.duration_s)


@dataclass(frozen=True, slots=True)
class CellSettings:
    """A cell together with the profile as it is in this cell: all that a trial needs to know of what is measured."""

    cell: Cell
    profile: Profile = field(hash=False)

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def method(self) -> str:
        return self.cell.method

    @property
    def transport(self) -> str:
        return self.cell.transport

    @property
    def kind(self) -> type[Transport]:
        return self.cell.kind

    @property
    def rate_per_s(self) -> float:
        return self.cell.rate_per_s

    @property
    def needs_database(self) -> bool:
        """Whether its services' stores are on a database server."""
        return self.profile.store == "postgres"

    def at_rate(self, rate_per_s: float, name: str = "") -> "CellSettings":
        """The same cell at another rate, and under another name if one is given."""
        return replace(self, cell=replace(self.cell, rate_per_s=rate_per_s, name=name or self.name))

    def columns(self) -> dict[str, Any]:
        """The value of every setting that has a column of trials.csv, by that column."""
        cell, profile = self.cell, self.profile
        own = {
            "product": ", ".join(sorted(cell.kind.traits.needs)) or "none",
            "client": cell.client,
            "codec": cell.codec,
            "compression": cell.compression,
            "order_bytes": profile.payload_bytes,
            "rate_per_s": cell.rate_per_s,
            "retries": cell.options.get("retries", 0),
            "keep_alive_s": cell.options.get("idle_s", 0.0),
            "fault": "none" if profile.fault is None else profile.fault.name,
        }
        return {
            column: own[column] if column in own else getattr(profile, spec.key, profile.extra.get(spec.key))
            for column, spec in settings_by_column().items()
        }
