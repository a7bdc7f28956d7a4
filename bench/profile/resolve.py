"""What to measure: typed settings from a TOML file and from flags, refused by name when they are wrong."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.errors import UsageError
from bench.load.workload.arrivals import ARRIVALS, MOST_ORDERS, Arrivals
from bench.load.workload.orders import SHAPES, Shape, Workload
from bench.load.workload.replay import Trace
from bench.load.workload.shape import Burst, Step, shape_of
from bench.paths import PROFILES
from bench.profile import parsing as values
from bench.profile import validate as checks
from bench.profile.level_filter import picked
from bench.profile.matrix import Cell, cells, designed
from bench.trial.fault_injection import Fault, fault_of
from shop.store import Durability
from shop.workflow import SERVICES
from transports import registry
from transports.base import Setting
from transports.security import LEVELS
from transports.wire import codecs

LONGEST_PREFIX = "0000r999s99w0"
"""What order ids of a run begin with at the most, as bench.trial names them."""
_AROUND_BYTES = len('{"order":}')
"""Of the message around an order, in JSON."""
DURABILITIES = ("fast", "safe")
STORES = ("memory", "sqlite")


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
    """Every method is measured at each. Before and after a step; the mean of bursts, and of a trace."""
    arrivals: Arrivals
    step: Step
    burst: Burst
    trace: Trace | None
    """None unless it is what ``arrivals`` asks for; then rate and duration are its own."""
    duration_s: float
    warm_up_s: float
    warm_up_max_s: float
    """A warm-up ends when nothing rises or falls any more, but not before the one and not after the other."""
    broker_warm_up_s: float
    """For how long a broker is used, twice, before its first trial: its code is compiled as it runs."""
    rounds: int
    arms: int = 1
    """1, or 2: every method stands in each round twice, as ``rest@a`` and ``rest@b``, which are the same (A/A)."""
    payload_bytes: int
    """The size of the order's compact JSON, whatever the codec."""
    shape: Shape
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
    store: Literal["memory", "sqlite"]
    processes: int
    """Of each service."""
    product: str
    """Over which the methods run that have the choice; empty: each over its own."""
    clients: Mapping[str, str]
    """The client library by transport, where it is not the transport's own choice."""
    options: Mapping[str, Mapping[str, Any]]
    """Further settings of a transport, by its name."""
    max_message_bytes: int
    deadline_s: float
    seed: int
    hops_every: int
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
    cold: bool = False
    """Whether new connections are measured as well, beside a bare echo: as many rounds of them, behind the trials."""
    ports: int | None
    """The first of four ports in a row on which the services listen; None: free ones."""
    designed: tuple[Cell, ...] = ()
    """The cells of a profile with blocks of factors; without any, cells follow from transports and rates."""

    def offered_per_s(self, rate_per_s: float) -> float:
        """Orders a second that arrive in the window in the mean, at one of the rates."""
        return self.orders(rate_per_s) / self.duration_s

    def orders(self, rate_per_s: float) -> float:
        """How many are planned for a trial in the mean, at one of the rates."""
        return rate_per_s * shape_of(self.arrivals, self.step, self.burst).area(self.duration_s)


def load(profile: str = "default", flags: Mapping[str, str] | None = None) -> Profile:
    """A profile by name or by the path of a TOML file, with ``flags`` over it; an empty flag is one not given.

    A flag that names a factor of the profile picks among its levels. Raises UsageError.
    """
    raw = {**_file(PROFILES / "default.toml"), **({} if profile in ("", "default") else _file(_path(profile)))}
    given = _from_flags(flags or {})
    if blocks := _blocks(raw):
        raw["block"], given = picked(blocks, raw, given)
    _check_arrivals({**raw, **given}, given)
    name = Path(profile).stem if profile else "default"
    resolved = resolve(name, {**raw, **given}, by_name="transports" in given)
    if (product := resolved.product) and not any(map(registry.products, resolved.transports)):
        raise UsageError(
            f"PRODUCT={product} is for methods with a choice of products, which {' and '.join(resolved.transports)} "
            "have not; leave it out"
        )
    return resolved


def kept(manifest: Mapping[str, Any], rounds: str = "") -> Profile:
    """A profile as a manifest holds it, with more ``rounds`` if they are given.

    Raises UsageError for fewer, and for a profile with other settings than today's.
    """
    try:
        profile = msgspec.convert(manifest, Profile)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"that run was begun by another version of Fourways, whose settings differ: {error}; measure again"
        ) from error
    if not rounds:
        return profile
    return msgspec.structs.replace(profile, rounds=values.whole({"rounds": rounds}, "rounds", least=profile.rounds))


def profiles() -> tuple[str, ...]:
    """The names of all profiles."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def resolve(name: str, raw: Mapping[str, Any], *, by_name: bool = False) -> Profile:
    """Check every setting. Raises UsageError with the first that cannot be honoured."""
    for key in raw:
        if key not in KEYS:
            raise UsageError(registry.unknown("profile key", key, KEYS))
    transports = tuple(dict.fromkeys(values.names(raw, "transports")))
    if not transports:
        raise UsageError("no transport to measure; give TRANSPORT=, for instance TRANSPORT=rest,grpc")
    installed = registry.installed()
    for transport in transports:
        values.known("transport", transport, installed)
    codec = raw.get("codec") or None
    if codec is not None:
        values.known("codec", codec, codecs())
    product = values.product(raw, installed)
    durability = values.known("durability", raw.get("durability", "fast"), DURABILITIES)
    store = values.known("store", raw.get("store") or ("sqlite" if durability == "safe" else "memory"), STORES)
    if durability == "safe" and store == "memory":
        raise UsageError("durability 'safe' needs a store that survives; leave STORE out or say STORE=sqlite")
    arrivals = values.known("arrivals", raw.get("arrivals", "poisson"), ARRIVALS)
    if arrivals == "trace":
        trace, raw = _trace(raw)
    else:
        trace = None
    profile = Profile(
        name=name,
        transports=transports,
        by_name=by_name,
        also=values.names(raw, "also"),
        rates_per_s=values.rates(raw),
        arrivals=arrivals,
        step=_step(raw),
        burst=_burst(raw),
        trace=trace,
        duration_s=values.number(raw, "duration_s"),
        warm_up_s=values.number(raw, "warm_up_s", zero=True),
        warm_up_max_s=values.number({"warm_up_max_s": 10, **raw}, "warm_up_max_s", zero=True),
        broker_warm_up_s=values.number({"broker_warm_up_s": 12, **raw}, "broker_warm_up_s", zero=True),
        rounds=values.whole(raw, "rounds"),
        arms=_arms(raw),
        payload_bytes=values.size(raw, "payload"),
        shape=values.known("shape", raw.get("shape", "document"), SHAPES),
        compressible=values.share({"compressible": 1, **raw}, "compressible"),
        codec=codec,
        compression=str(raw.get("compression") or "none"),
        security=values.known("security", raw.get("security", "none"), LEVELS),
        durability=durability,
        store=store,
        processes=values.whole({"processes": 1, **raw}, "processes"),
        product=product,
        clients=values.clients(raw.get("clients", {}), installed, product),
        options=values.options(raw.get("options", {}), installed),
        max_message_bytes=values.size(raw, "max_message"),
        deadline_s=values.number(raw, "deadline_s"),
        seed=values.whole(raw, "seed", least=0),
        hops_every=values.whole({"hops_every": 20, **raw}, "hops_every", least=0),
        retries=values.whole({"retries": 0, **raw}, "retries", least=0),
        keep_alive_s=_keep_alive_s(raw),
        fault=fault_of(
            str(raw.get("fault") or "none"),
            at_s=values.number({"fault_at_s": _third_s(raw), **raw}, "fault_at_s", zero=True),
            for_s=values.number({"fault_for_s": _third_s(raw), **raw}, "fault_for_s"),
        ),
        slo_p99_ms=values.number(raw, "slo_p99_ms") if raw.get("slo_p99_ms") is not None else None,
        raw=values.yes(raw, "raw"),
        cold=values.yes(raw, "cold"),
        ports=values.ports(raw, len(SERVICES) * values.whole({"processes": 1, **raw}, "processes")),
    )
    if profile.payload_bytes > (most_bytes := profile.max_message_bytes - Setting.HEADROOM_BYTES - _AROUND_BYTES):
        raise UsageError(
            f"PAYLOAD of {profile.payload_bytes:,} bytes is over the limit of an order, which with this MAX_MESSAGE is "
            f"{most_bytes:,} bytes; lower PAYLOAD or raise MAX_MESSAGE"
        )
    try:
        Workload(prefix=LONGEST_PREFIX, seed=profile.seed, payload_bytes=profile.payload_bytes, shape=profile.shape)
    except ValueError as error:
        raise UsageError(f"PAYLOAD is too small: {error}") from error
    checks.of_plan(profile)
    checks.of_fault(profile)
    if blocks := _blocks(raw):
        profile = _with_blocks(profile, blocks, raw)
    checks.of_cold(profile)
    cells(profile)
    return profile


def _blocks(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of factors. Raises UsageError for anything but tables."""
    blocks = raw.get("block", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise UsageError(f"blocks of factors are tables [[block]], not {blocks!r}")
    return blocks


def _with_blocks(profile: Profile, blocks: Sequence[Mapping[str, Any]], raw: Mapping[str, Any]) -> Profile:
    plain = {key: value for key, value in raw.items() if key != "block"}

    def with_levels(levels: Mapping[str, Any]) -> Profile:
        return resolve(profile.name, {**plain, **levels})

    found = tuple(designed(profile, blocks, with_levels))
    if not found:
        raise UsageError(
            f"profile {profile.name!r} has no cell for {', '.join(profile.transports)}; give TRANSPORT= others"
        )
    return msgspec.structs.replace(profile, designed=found)


def _check_arrivals(raw: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse flags that say nothing about the arrivals. A profile may hold settings of several."""
    arrivals = raw.get("arrivals")
    levels = [block["arrivals"] for block in _blocks(raw) if "arrivals" in block]
    for key in given:
        kind = key.partition("_")[0]
        if kind in ("step", "burst", "trace") and kind != arrivals and not any(kind in level for level in levels):
            raise UsageError(
                f"{values.FLAG_OF[key]} is for ARRIVALS={kind}, and they are {arrivals}; leave it out or say "
                f"ARRIVALS={kind}"
            )
        if arrivals == "trace" and key in ("rate_per_s", "duration_s"):
            raise UsageError(f"{values.FLAG_OF[key]} is in the trace with ARRIVALS=trace; leave it out")


def _third_s(raw: Mapping[str, Any]) -> float:
    return values.number(raw, "duration_s") / 3


def _step(raw: Mapping[str, Any]) -> Step:
    third_s = _third_s(raw)
    return Step(
        factor=values.number({"step_factor": 3, **raw}, "step_factor", zero=True),
        at_s=values.number({"step_at_s": third_s, **raw}, "step_at_s", zero=True),
        for_s=values.number({"step_for_s": third_s, **raw}, "step_for_s"),
    )


def _burst(raw: Mapping[str, Any]) -> Burst:
    third_s = _third_s(raw)
    try:
        return Burst(
            peak=values.number({"burst_peak": 10, **raw}, "burst_peak"),
            period_s=values.number({"burst_period_s": third_s, **raw}, "burst_period_s"),
        )
    except ValueError as error:
        raise UsageError(f"BURST_PEAK (burst_peak) cannot be honoured: {error}") from error


def _trace(raw: Mapping[str, Any]) -> tuple[Trace, Mapping[str, Any]]:
    """The trace, and the settings with its own rate and duration."""
    path = raw.get("trace")
    if not isinstance(path, str) or not path:
        raise UsageError("ARRIVALS=trace needs a file of offsets in seconds; say which with TRACE=")
    try:
        trace = Trace.of(Path(path))
        offsets_ns = trace.offsets_ns(MOST_ORDERS)
    except ValueError as error:
        raise UsageError(str(error)) from error
    duration_s = offsets_ns[-1] / 1e9
    if not duration_s:
        raise UsageError(f"trace {path} is over as it begins: its orders all come at 0 s; give a longer one")
    return trace, {**raw, "duration_s": duration_s, "rate_per_s": len(offsets_ns) / duration_s}


def _path(profile: str) -> Path:
    if profile.endswith(".toml"):
        return Path(profile)
    return PROFILES / f"{values.known('profile', profile, profiles())}.toml"


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"profile {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"profile {path} is not TOML: {error}") from error


def _from_flags(flags: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for flag, text in flags.items():
        name = flag.upper().replace("-", "_")
        if name not in values.FLAGS:
            raise UsageError(registry.unknown("setting", name, tuple(values.FLAGS)))
        if text.strip():
            found[values.FLAGS[name]] = text.strip()
    return found


KEYS = (*dict.fromkeys(values.FLAGS.values()), "also", "arms", "block", "options")


def _arms(raw: Mapping[str, Any]) -> int:
    arms = values.whole({"arms": 1, **raw}, "arms")
    if arms > 2:
        raise UsageError(f"arms must be 1 or 2, not {arms}")
    if arms == 2 and len(values.rates(raw)) > 1:
        raise UsageError("arms = 2 sets a method against itself at one rate; give RATE= one number")
    return arms


def _keep_alive_s(raw: Mapping[str, Any]) -> float:
    seconds = values.number({"keep_alive_s": 0, **raw}, "keep_alive_s", zero=True)
    if seconds and not 0.1 <= seconds <= 86_400:
        raise UsageError(f"{values.shown('keep_alive_s')} must be 0 or 0.1 to 86400 seconds, not {seconds:g}")
    return seconds
