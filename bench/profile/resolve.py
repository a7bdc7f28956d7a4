"""Resolves raw settings into a Profile: parses each by the table, fills what follows from others, checks the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError, unknown_word
from bench.load.workload.arrivals import MAX_PLANNED_ORDERS
from bench.load.workload.orders import Workload
from bench.load.workload.replay import ArrivalTrace
from bench.load.workload.shape import RateBurst, RateStep
from bench.profile import validate
from bench.profile.fault import parse_fault
from bench.profile.matrix import expand_cells, expand_design
from bench.profile.parsing import parse
from bench.profile.schema import Profile
from bench.results.setting_names import RENAMED_KEYS
from bench.results.settings import SETTINGS, settings_by_key
from shop.workflow import SERVICES
from transports import registry
from transports.base import Setting

LONGEST_PREFIX = "0000r999s99w0"
"""What order ids of a run begin with at the most, as bench/trial/trial.py names them."""
_AROUND_BYTES = len('{"order":}')
"""Of the message around an order, in JSON."""
EXTRA_KEYS = ("also", "arms", "block", "options")
"""Keys of a profile that are no setting: they cannot be given on the command line."""
_FIELDS = {
    "transports": "transports",
    "rate_per_s": "rates_per_s",
    "payload": "payload_bytes",
    "max_message": "max_message_bytes",
}
"""Keys whose field of Profile has another name."""
_COMPOSED = frozenset(
    {"step_factor", "step_at_s", "step_for_s", "burst_peak", "burst_period_s"}
    | {"fault", "fault_at_s", "fault_for_s", "replay", "store", "ports"}
)
"""Keys that are put together with others, or follow from them where they are not given."""


def resolve(name: str, raw: Mapping[str, Any], *, by_name: bool = False) -> Profile:
    """The profile with these raw settings; what is left out has its default. Raises UsageError for the first wrong one.

    ``by_name``: the transports were asked for by name.
    """
    keys = settings_by_key()
    for key in raw:
        if key in RENAMED_KEYS:
            raise UsageError(f"profile key {key!r} is called {RENAMED_KEYS[key]!r} now", code="renamed-setting")
        if key not in keys and key not in EXTRA_KEYS:
            raise unknown_word("profile key", key, (*keys, *EXTRA_KEYS))
    installed = registry.list_transports()
    backends = tuple(sorted({backend for transport in installed for backend in registry.list_backends(transport)}))
    given: dict[str, Any] = {}
    for key, spec in keys.items():
        value = raw.get(key, spec.default)
        choices = {"transports": installed, "backend": backends}.get(key, spec.choices)
        given[key] = None if value is None else parse(replace(spec, choices=choices), value)
    for transport in given["transports"]:
        _require_known(transport, installed)
    if not given["transports"]:
        raise UsageError(
            "no transport to measure; give TRANSPORT=, for instance TRANSPORT=rest,grpc", code="no-transport"
        )
    replay = None
    if given["arrivals"] == "replay":
        replay, given["duration_s"], given["rate_per_s"] = _read_replay(given["replay"])
    third_s = given["duration_s"] / 3
    plain = {_FIELDS.get(key, key): value for key, value in given.items() if key not in _COMPOSED}
    typed = {field for field in Profile.__struct_fields__ if field in plain}
    profile = Profile(
        **{
            **{field: plain[field] for field in typed},
            "name": name,
            "by_name": by_name,
            "also": _also(raw),
            "arms": _arms(raw, given["rate_per_s"]),
            "backend": given["backend"] or "",
            "clients": _clients(given["clients"], installed, given["backend"] or ""),
            "options": _options(raw.get("options", {}), installed),
            "store": _store(given["store"] if "store" in raw else None, given["durability"], given["transports"]),
            "replay": replay,
            "step": RateStep(
                factor=given["step_factor"],
                at_s=third_s if given["step_at_s"] is None else given["step_at_s"],
                for_s=given["step_for_s"] or third_s,
            ),
            "burst": _burst(given["burst_peak"], given["burst_period_s"] or third_s),
            "fault": parse_fault(
                given["fault"],
                at_s=third_s if given["fault_at_s"] is None else given["fault_at_s"],
                for_s=given["fault_for_s"] or third_s,
            ),
            "ports": _ports(given["ports"], len(SERVICES) * given["processes"]),
            "extra": {key: value for key, value in plain.items() if key not in typed},
        }
    )
    _check_size(profile)
    validate.check_arrivals(profile)
    validate.check_fault(profile)
    if blocks := blocks_in(raw):
        profile = _with_blocks(profile, blocks, raw)
    validate.check_connections(profile)
    expand_cells(profile)
    validate.check_slices(profile)
    return profile


def blocks_in(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The blocks of factors of a raw profile. Raises UsageError for anything but tables."""
    blocks = raw.get("block", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise UsageError(f"blocks of factors are tables [[block]], not {blocks!r}", code="bad-block")
    return blocks


def _with_blocks(profile: Profile, blocks: Sequence[Mapping[str, Any]], raw: Mapping[str, Any]) -> Profile:
    plain = {key: value for key, value in raw.items() if key != "block"}

    def with_levels(levels: Mapping[str, Any]) -> Profile:
        return resolve(profile.name, {**plain, **levels})

    found = tuple(expand_design(profile, blocks, with_levels))
    if not found:
        raise UsageError(
            f"profile {profile.name!r} has no cell for {', '.join(profile.transports)}; give TRANSPORT= others",
            code="no-cell",
        )
    return msgspec.structs.replace(profile, designed=found)


def _require_known(transport: str, installed: tuple[str, ...]) -> None:
    if transport not in installed:
        raise unknown_word("transport", transport, installed, SETTINGS["TRANSPORT"].aliases)


def _also(raw: Mapping[str, Any]) -> tuple[str, ...]:
    also = raw.get("also", [])
    if not isinstance(also, list) or not all(isinstance(cell, str) for cell in also):
        raise UsageError(f'also must be a list of cells, for instance ["grpc+json"], not {also!r}', code="bad-also")
    return tuple(also)


def _arms(raw: Mapping[str, Any], rates_per_s: Sequence[float]) -> int:
    arms = raw.get("arms", 1)
    if arms not in (1, 2) or isinstance(arms, bool):
        raise UsageError(f"arms must be 1 or 2, not {arms!r}", code="bad-arms")
    if arms == 2 and len(rates_per_s) > 1:
        raise UsageError(
            "arms = 2 sets a method against itself at one rate; give RATE= one number", code="arms-at-several-rates"
        )
    return int(arms)


def _store(store: str | None, durability: str, transports: Sequence[str]) -> str:
    """``store`` None: it was not asked for. Services in the driver's process are over memory then."""
    in_process = all(registry.load_transport(transport).traits.in_process for transport in transports)
    if durability == "safe" and store == "memory":
        raise UsageError(
            "durability 'safe' needs a store that survives; leave STORE out or say STORE=sqlite", code="unsafe-store"
        )
    if in_process and store == "postgres":
        raise UsageError(
            f"STORE=postgres is for services in processes of their own, which {' and '.join(transports)} have not; "
            "leave it out",
            code="store-in-process",
        )
    return store or ("memory" if in_process and durability == "fast" else "sqlite")


def _burst(peak: float, period_s: float) -> RateBurst:
    try:
        return RateBurst(peak=peak, period_s=period_s)
    except ValueError as error:
        raise UsageError(f"BURST_PEAK (burst_peak) cannot be honoured: {error}", code="bad-burst") from error


def _ports(port: int | None, count: int) -> int | None:
    if port is not None and port > 65536 - count:
        raise UsageError(
            f"PORTS is the first of {count} ports in a row, 1024 to {65536 - count}, not {port}", code="bad-ports"
        )
    return port


def _clients(value: Any, installed: tuple[str, ...], backend: str) -> dict[str, str]:
    """A table, or "rest:httpx,grpc:grpcio", or "httpx" for whichever transports have a client of that name."""
    if isinstance(value, str):
        value = ",".join(
            pair for part in value.split(",") for pair in _with_transport(part.strip(), installed, backend)
        )
        pairs = [part.partition(":") for part in value.split(",") if part.strip()]
        if any(not (transport.strip() and client.strip()) for transport, _, client in pairs):
            raise UsageError(f"CLIENT must be pairs, for instance rest:aiohttp, not {value!r}", code="bad-clients")
        value = {transport.strip(): client.strip() for transport, _, client in pairs}
    if not isinstance(value, dict) or not all(isinstance(client, str) for client in value.values()):
        raise UsageError(
            f'clients must be a table of names, for instance rest = "aiohttp", not {value!r}', code="bad-clients"
        )
    aliases = SETTINGS["TRANSPORT"].aliases
    clients = {aliases.get(transport.lower(), transport.lower()): client.lower() for transport, client in value.items()}
    for transport in clients:
        _require_known(transport, installed)
    return clients


def _with_transport(part: str, installed: tuple[str, ...], backend: str) -> list[str]:
    """``transport:client`` for every transport that has a client of this name. Raises UsageError when none has."""
    if ":" in part or not part:
        return [part]
    choices = {
        name: getattr(registry.select_transport(name, backend).Config.__annotations__.get("client"), "__args__", ())
        for name in installed
    }
    takers = [f"{name}:{part}" for name, clients in choices.items() if part.lower() in clients]
    if not takers:
        known = tuple(sorted({client for clients in choices.values() for client in clients}))
        raise unknown_word("client", part, known)
    return takers


def _options(value: object, installed: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise UsageError(
            "options must be tables, one for each transport, for instance [options.broker]", code="bad-options"
        )
    for transport in value:
        _require_known(transport, installed)
    return value


def _read_replay(path: str | None) -> tuple[ArrivalTrace, float, tuple[float, ...]]:
    """The replay, its duration and its mean rate."""
    if path is None:
        raise UsageError(
            "ARRIVALS=replay needs a file of offsets in seconds; say which with REPLAY=", code="no-replay-file"
        )
    try:
        replay = ArrivalTrace.of(Path(path))
        offsets_ns = replay.offsets_ns(MAX_PLANNED_ORDERS)
    except ValueError as error:
        raise UsageError(str(error), code="bad-replay") from error
    duration_s = offsets_ns[-1] / 1e9
    if not duration_s:
        raise UsageError(
            f"replay {path} is over as it begins: its orders all come at 0 s; give a longer one", code="bad-replay"
        )
    return replay, duration_s, (len(offsets_ns) / duration_s,)


def _check_size(profile: Profile) -> None:
    """Raises UsageError for an order that is larger than a hop takes, or smaller than an order can be."""
    most_bytes = profile.max_message_bytes - Setting.HEADROOM_BYTES - _AROUND_BYTES
    if profile.payload_bytes > most_bytes:
        raise UsageError(
            f"PAYLOAD of {profile.payload_bytes:,} bytes is over the limit of an order, which with this MAX_MESSAGE is "
            f"{most_bytes:,} bytes; lower PAYLOAD or raise MAX_MESSAGE",
            code="payload-too-large",
        )
    try:
        Workload(prefix=LONGEST_PREFIX, seed=profile.seed, payload_bytes=profile.payload_bytes, shape=profile.shape)
    except ValueError as error:
        raise UsageError(f"PAYLOAD is too small: {error}", code="payload-too-small") from error
