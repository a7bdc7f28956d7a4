"""What to measure: typed settings from a TOML file and from flags, refused by name when they are wrong."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.cells import Cell, cells, designed
from bench.errors import UsageError
from bench.faults import BROKER, Fault, fault_of
from bench.load.arrivals import ARRIVALS, MOST_ORDERS, Arrivals, check_size
from bench.load.shape import Burst, Step, shape_of
from bench.load.trace import Trace
from bench.workload import SHAPES, Shape, Workload
from shop.store import Durability
from shop.workflow import SERVICES
from transports import registry
from transports.base import Setting
from transports.security import LEVELS
from transports.wire import codecs

PROFILES = Path(__file__).parents[1] / "scenarios" / "profiles"
LONGEST_PREFIX = "0000r999s99w0"
"""What order ids of a run begin with at the most, as bench.trial names them."""
_AROUND_BYTES = len('{"order":}')
"""Of the message around an order, in JSON."""
DURABILITIES = ("fast", "safe")
STORES = ("memory", "sqlite")

FLAGS = {
    "TRANSPORT": "transports",
    "RATE": "rate_per_s",
    "PAYLOAD": "payload",
    "SHAPE": "shape",
    "COMPRESSIBLE": "compressible",
    "CODEC": "codec",
    "COMPRESSION": "compression",
    "SECURITY": "security",
    "DURABILITY": "durability",
    "PROCESSES": "processes",
    "PRODUCT": "product",
    "CLIENT": "clients",
    "ROUNDS": "rounds",
    "DURATION": "duration_s",
    "WARM_UP": "warm_up_s",
    "WARM_UP_MAX": "warm_up_max_s",
    "BROKER_WARM_UP": "broker_warm_up_s",
    "SEED": "seed",
    "STORE": "store",
    "ARRIVALS": "arrivals",
    "STEP_FACTOR": "step_factor",
    "STEP_AT": "step_at_s",
    "STEP_FOR": "step_for_s",
    "BURST_PEAK": "burst_peak",
    "BURST_PERIOD": "burst_period_s",
    "TRACE": "trace",
    "MAX_MESSAGE": "max_message",
    "DEADLINE": "deadline_s",
    "PORTS": "ports",
    "HOPS": "hops_every",
    "RETRIES": "retries",
    "KEEP_ALIVE": "keep_alive_s",
    "FAULT": "fault",
    "FAULT_AT": "fault_at_s",
    "FAULT_FOR": "fault_for_s",
    "RAW": "raw",
    "SLO": "slo_p99_ms",
}
"""What may be said on the command line, and the key of a profile that it stands for."""


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

    Raises UsageError.
    """
    raw = {**_file(PROFILES / "default.toml"), **({} if profile in ("", "default") else _file(_path(profile)))}
    given = _from_flags(flags or {})
    for block in _blocks(raw):
        for key in given.keys() & block.keys():
            if isinstance(block[key], list | Mapping):
                raise UsageError(
                    f"{_FLAG_OF[key]} is a factor of profile {profile!r}, which has levels for it; leave it out"
                )
            del block[key]
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
    return msgspec.structs.replace(profile, rounds=_whole({"rounds": rounds}, "rounds", least=profile.rounds))


def profiles() -> tuple[str, ...]:
    """The names of all profiles."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def resolve(name: str, raw: Mapping[str, Any], *, by_name: bool = False) -> Profile:
    """Check every setting. Raises UsageError with the first that cannot be honoured."""
    for key in raw:
        if key not in KEYS:
            raise UsageError(registry.unknown("profile key", key, KEYS))
    transports = tuple(dict.fromkeys(_names(raw, "transports")))
    if not transports:
        raise UsageError("no transport to measure; give TRANSPORT=, for instance TRANSPORT=rest,grpc")
    installed = registry.installed()
    for transport in transports:
        _known("transport", transport, installed)
    codec = raw.get("codec") or None
    if codec is not None:
        _known("codec", codec, codecs())
    product = _product(raw, installed)
    durability = _known("durability", raw.get("durability", "fast"), DURABILITIES)
    store = _known("store", raw.get("store") or ("sqlite" if durability == "safe" else "memory"), STORES)
    if durability == "safe" and store == "memory":
        raise UsageError("durability 'safe' needs a store that survives; leave STORE out or say STORE=sqlite")
    arrivals = _known("arrivals", raw.get("arrivals", "poisson"), ARRIVALS)
    if arrivals == "trace":
        trace, raw = _trace(raw)
    else:
        trace = None
    profile = Profile(
        name=name,
        transports=transports,
        by_name=by_name,
        also=_names(raw, "also"),
        rates_per_s=_rates(raw),
        arrivals=arrivals,
        step=_step(raw),
        burst=_burst(raw),
        trace=trace,
        duration_s=_number(raw, "duration_s"),
        warm_up_s=_number(raw, "warm_up_s", zero=True),
        warm_up_max_s=_number({"warm_up_max_s": 10, **raw}, "warm_up_max_s", zero=True),
        broker_warm_up_s=_number({"broker_warm_up_s": 12, **raw}, "broker_warm_up_s", zero=True),
        rounds=_whole(raw, "rounds"),
        arms=_arms(raw),
        payload_bytes=_size(raw, "payload"),
        shape=_known("shape", raw.get("shape", "document"), SHAPES),
        compressible=_share({"compressible": 1, **raw}, "compressible"),
        codec=codec,
        compression=str(raw.get("compression") or "none"),
        security=_known("security", raw.get("security", "none"), LEVELS),
        durability=durability,
        store=store,
        processes=_whole({"processes": 1, **raw}, "processes"),
        product=product,
        clients=_clients(raw.get("clients", {}), installed, product),
        options=_options(raw.get("options", {}), installed),
        max_message_bytes=_size(raw, "max_message"),
        deadline_s=_number(raw, "deadline_s"),
        seed=_whole(raw, "seed", least=0),
        hops_every=_whole({"hops_every": 20, **raw}, "hops_every", least=0),
        retries=_whole({"retries": 0, **raw}, "retries", least=0),
        keep_alive_s=_keep_alive_s(raw),
        fault=fault_of(
            str(raw.get("fault") or "none"),
            at_s=_number({"fault_at_s": _third_s(raw), **raw}, "fault_at_s", zero=True),
            for_s=_number({"fault_for_s": _third_s(raw), **raw}, "fault_for_s"),
        ),
        slo_p99_ms=_number(raw, "slo_p99_ms") if raw.get("slo_p99_ms") is not None else None,
        raw=_yes(raw, "raw"),
        ports=_ports(raw, len(SERVICES) * _whole({"processes": 1, **raw}, "processes")),
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
    _check_plan(profile)
    _check_fault(profile)
    if blocks := _blocks(raw):
        profile = _with_blocks(profile, blocks, raw)
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


def _check_fault(profile: Profile) -> None:
    """Raises UsageError for a fault that would not be over in the window, or after which the books cannot add up."""
    if (fault := profile.fault) is None:
        return
    if fault.at_s + fault.for_s >= profile.duration_s:
        raise UsageError(
            f"{fault.part} would be away until {fault.at_s + fault.for_s:g} s of a window of {profile.duration_s:g} s; "
            "raise DURATION, or lower FAULT_AT or FAULT_FOR"
        )
    if fault.action == "kill" and fault.part != BROKER and profile.store == "memory":
        raise UsageError(f"FAULT={fault.name} needs a store that survives it; say STORE=sqlite")
    if fault.action == "kill" and fault.part != BROKER and profile.processes > 1:
        raise UsageError(f"FAULT={fault.name} is for services of one process; leave PROCESSES out")


def _check_plan(profile: Profile) -> None:
    """Raises UsageError for a plan that is too large, or is not what its arrivals promise."""
    try:
        check_size(max(map(profile.orders, profile.rates_per_s)))
    except ValueError as error:
        raise UsageError(f"RATE and DURATION ask for too much: {error}") from error
    if profile.arrivals == "step" and profile.step.at_s >= profile.duration_s:
        raise UsageError(
            f"a step {profile.step.at_s:g} s into a window of {profile.duration_s:g} s never comes; lower STEP_AT or "
            "raise DURATION"
        )
    periods = profile.duration_s / profile.burst.period_s
    if profile.arrivals == "burst" and (round(periods) < 1 or not math.isclose(periods, round(periods))):
        raise UsageError(
            f"a window of {profile.duration_s:g} s is {periods:g} periods of {profile.burst.period_s:g} s, and bursts "
            "have RATE as their mean over whole ones; change BURST_PERIOD or DURATION"
        )


def _check_arrivals(raw: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse flags that say nothing about the arrivals. A profile may hold settings of several."""
    arrivals = raw.get("arrivals")
    levels = [block["arrivals"] for block in _blocks(raw) if "arrivals" in block]
    for key in given:
        kind = key.partition("_")[0]
        if kind in ("step", "burst", "trace") and kind != arrivals and not any(kind in level for level in levels):
            raise UsageError(
                f"{_FLAG_OF[key]} is for ARRIVALS={kind}, and they are {arrivals}; leave it out or say ARRIVALS={kind}"
            )
        if arrivals == "trace" and key in ("rate_per_s", "duration_s"):
            raise UsageError(f"{_FLAG_OF[key]} is in the trace with ARRIVALS=trace; leave it out")


def _third_s(raw: Mapping[str, Any]) -> float:
    return _number(raw, "duration_s") / 3


def _step(raw: Mapping[str, Any]) -> Step:
    third_s = _third_s(raw)
    return Step(
        factor=_number({"step_factor": 3, **raw}, "step_factor", zero=True),
        at_s=_number({"step_at_s": third_s, **raw}, "step_at_s", zero=True),
        for_s=_number({"step_for_s": third_s, **raw}, "step_for_s"),
    )


def _burst(raw: Mapping[str, Any]) -> Burst:
    third_s = _third_s(raw)
    try:
        return Burst(
            peak=_number({"burst_peak": 10, **raw}, "burst_peak"),
            period_s=_number({"burst_period_s": third_s, **raw}, "burst_period_s"),
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
    return PROFILES / f"{_known('profile', profile, profiles())}.toml"


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
        if name not in FLAGS:
            raise UsageError(registry.unknown("setting", name, tuple(FLAGS)))
        if text.strip():
            found[FLAGS[name]] = text.strip()
    return found


KEYS = (*dict.fromkeys(FLAGS.values()), "also", "arms", "block", "options")
_YES = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20}
_FLAG_OF = {key: flag for flag, key in FLAGS.items()}


def _known(what: str, name: object, known: tuple[str, ...]) -> Any:
    if name not in known:
        raise UsageError(registry.unknown(what, str(name), known))
    return name


def _names(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of names, or one string with commas."""
    value = raw.get(key, ())
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{_shown(key)} must be names, for instance rest,grpc, not {value!r}")
    return tuple(part.strip() for part in parts if part.strip())


def _number(raw: Mapping[str, Any], key: str, *, zero: bool = False) -> float:
    value = raw.get(key)
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise UsageError(f"{_shown(key)} must be {'zero or ' if zero else ''}a positive number, not {value!r}")
    return number


def _rates(raw: Mapping[str, Any]) -> tuple[float, ...]:
    """One number, a list of them, or a string with commas; in rising order, each once."""
    value = raw.get("rate_per_s")
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    rates = {_number({"rate_per_s": part}, "rate_per_s") for part in parts}
    if not rates:
        raise UsageError(f"{_shown('rate_per_s')} must be a positive number, or several with commas, not {value!r}")
    return tuple(sorted(rates))


def _whole(raw: Mapping[str, Any], key: str, *, least: int = 1) -> int:
    value = raw.get(key)
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", text) or int(text) < least:
        raise UsageError(f"{_shown(key)} must be a whole number, {least} or more, not {value!r}")
    return int(text)


def _share(raw: Mapping[str, Any], key: str) -> float:
    share = _number(raw, key, zero=True)
    if share > 1:
        raise UsageError(f"{_shown(key)} must be a share from 0 to 1, not {share:g}")
    return share


def _arms(raw: Mapping[str, Any]) -> int:
    arms = _whole({"arms": 1, **raw}, "arms")
    if arms > 2:
        raise UsageError(f"arms must be 1 or 2, not {arms}")
    if arms == 2 and len(_rates(raw)) > 1:
        raise UsageError("arms = 2 sets a method against itself at one rate; give RATE= one number")
    return arms


def _keep_alive_s(raw: Mapping[str, Any]) -> float:
    seconds = _number({"keep_alive_s": 0, **raw}, "keep_alive_s", zero=True)
    if seconds and not 0.1 <= seconds <= 86_400:
        raise UsageError(f"{_shown('keep_alive_s')} must be 0 or 0.1 to 86400 seconds, not {seconds:g}")
    return seconds


def _yes(raw: Mapping[str, Any], key: str) -> bool:
    text = str(raw.get(key, "no")).strip().lower()
    if text not in _YES:
        raise UsageError(f"{_shown(key)} must be 1 or 0, not {raw[key]!r}")
    return _YES[text]


def _ports(raw: Mapping[str, Any], count: int) -> int | None:
    if not raw.get("ports"):
        return None
    port = _whole(raw, "ports", least=1024)
    if port > 65536 - count:
        raise UsageError(f"PORTS is the first of {count} ports in a row, 1024 to {65536 - count}, not {port}")
    return port


def _size(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    if isinstance(value, bool) or (size := bytes_of(str(value))) is None:
        raise UsageError(f"{_shown(key)} must be a positive number of bytes, for instance 200 or 64KiB, not {value!r}")
    return size


def bytes_of(text: str) -> int | None:
    """Of 200, 1KiB or 1.5MiB; None for anything else, and for what is no whole number of them."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB)?", text.strip())
    size = float(match[1]) * _UNITS[match[2] or ""] if match else 0
    return int(size) if size >= 1 and size == int(size) else None


def _product(raw: Mapping[str, Any], installed: tuple[str, ...]) -> str:
    known = {product for name in installed for product in registry.products(name)}
    asked = raw.get("product") or ""
    return str(_known("product", asked, tuple(sorted(known)))) if asked else ""


def _clients(value: object, installed: tuple[str, ...], product: str) -> dict[str, str]:
    """A table, or "rest:httpx,grpc:grpcio", or "httpx" for whichever transports have a client of that name."""
    if isinstance(value, str):
        value = ",".join(pair for part in value.split(",") for pair in _pairs(part.strip(), installed, product))
        pairs = [part.partition(":") for part in value.split(",") if part.strip()]
        if any(not (transport.strip() and client.strip()) for transport, _, client in pairs):
            raise UsageError(f"CLIENT must be pairs, for instance rest:aiohttp, not {value!r}")
        value = {transport.strip(): client.strip() for transport, _, client in pairs}
    if not isinstance(value, dict) or not all(isinstance(client, str) for client in value.values()):
        raise UsageError(f'clients must be a table of names, for instance rest = "aiohttp", not {value!r}')
    for transport in value:
        _known("transport", transport, installed)
    return value


def _pairs(part: str, installed: tuple[str, ...], product: str) -> list[str]:
    if ":" in part or not part:
        return [part]
    choices = {
        name: getattr(registry.heeding(name, product).Config.__annotations__.get("client"), "__args__", ())
        for name in installed
    }
    takers = [f"{name}:{part}" for name, clients in choices.items() if part in clients]
    if not takers:
        known = tuple(sorted({client for clients in choices.values() for client in clients}))
        raise UsageError(registry.unknown("client", part, known))
    return takers


def _options(value: object, installed: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise UsageError("options must be tables, one for each transport, for instance [options.broker]")
    for transport in value:
        _known("transport", transport, installed)
    return value


def _shown(key: str) -> str:
    """How the person who gave it knows it."""
    return f"{_FLAG_OF[key]} ({key})" if key in _FLAG_OF else key
