"""What to measure: typed settings from a TOML file and from flags, refused by name when they are wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.load.workload.arrivals import ARRIVALS, MOST_ORDERS
from bench.load.workload.orders import SHAPES, Workload
from bench.load.workload.replay import Trace
from bench.load.workload.shape import Burst, Step
from bench.profile import parsing as values
from bench.profile import validate as checks
from bench.profile.fault import fault_of
from bench.profile.matrix import cells, designed
from bench.profile.schema import DURABILITIES, STORES, Profile
from shop.workflow import SERVICES
from transports import registry
from transports.base import Setting
from transports.security import LEVELS
from transports.wire import codecs

LONGEST_PREFIX = "0000r999s99w0"
"""What order ids of a run begin with at the most, as bench.trial names them."""
_AROUND_BYTES = len('{"order":}')
"""Of the message around an order, in JSON."""


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
