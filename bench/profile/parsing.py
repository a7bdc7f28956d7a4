"""Values of settings, as they are typed or stand in a profile, checked; the sentence about a wrong one names it."""

import math
import re
from collections.abc import Mapping
from typing import Any

from bench.errors import UsageError
from transports import registry

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
    "COLD": "cold",
    "SLO": "slo_p99_ms",
}
"""What may be said on the command line, and the key of a profile that it stands for."""

_YES = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20}
FLAG_OF = {key: flag for flag, key in FLAGS.items()}


def known(what: str, name: object, of: tuple[str, ...]) -> Any:
    if name not in of:
        raise UsageError(registry.unknown(what, str(name), of))
    return name


def names(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of names, or one string with commas."""
    value = raw.get(key, ())
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{shown(key)} must be names, for instance rest,grpc, not {value!r}")
    return tuple(part.strip() for part in parts if part.strip())


def number(raw: Mapping[str, Any], key: str, *, zero: bool = False) -> float:
    value = raw.get(key)
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
        raise UsageError(f"{shown(key)} must be {'zero or ' if zero else ''}a positive number, not {value!r}")
    return found


def rates(raw: Mapping[str, Any]) -> tuple[float, ...]:
    """One number, a list of them, or a string with commas; in rising order, each once."""
    value = raw.get("rate_per_s")
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    found = {number({"rate_per_s": part}, "rate_per_s") for part in parts}
    if not found:
        raise UsageError(f"{shown('rate_per_s')} must be a positive number, or several with commas, not {value!r}")
    return tuple(sorted(found))


def whole(raw: Mapping[str, Any], key: str, *, least: int = 1) -> int:
    value = raw.get(key)
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", text) or int(text) < least:
        raise UsageError(f"{shown(key)} must be a whole number, {least} or more, not {value!r}")
    return int(text)


def share(raw: Mapping[str, Any], key: str) -> float:
    found = number(raw, key, zero=True)
    if found > 1:
        raise UsageError(f"{shown(key)} must be a share from 0 to 1, not {found:g}")
    return found


def yes(raw: Mapping[str, Any], key: str) -> bool:
    text = str(raw.get(key, "no")).strip().lower()
    if text not in _YES:
        raise UsageError(f"{shown(key)} must be 1 or 0, not {raw[key]!r}")
    return _YES[text]


def ports(raw: Mapping[str, Any], count: int) -> int | None:
    if not raw.get("ports"):
        return None
    port = whole(raw, "ports", least=1024)
    if port > 65536 - count:
        raise UsageError(f"PORTS is the first of {count} ports in a row, 1024 to {65536 - count}, not {port}")
    return port


def size(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    if isinstance(value, bool) or (found := bytes_of(str(value))) is None:
        raise UsageError(f"{shown(key)} must be a positive number of bytes, for instance 200 or 64KiB, not {value!r}")
    return found


def bytes_of(text: str) -> int | None:
    """Of 200, 1KiB or 1.5MiB; None for anything else, and for what is no whole number of them."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB)?", text.strip())
    found = float(match[1]) * _UNITS[match[2] or ""] if match else 0
    return int(found) if found >= 1 and found == int(found) else None


def product(raw: Mapping[str, Any], installed: tuple[str, ...]) -> str:
    there = {product for name in installed for product in registry.products(name)}
    asked = raw.get("product") or ""
    return str(known("product", asked, tuple(sorted(there)))) if asked else ""


def clients(value: object, installed: tuple[str, ...], product: str) -> dict[str, str]:
    """A table, or "rest:httpx,grpc:grpcio", or "httpx" for whichever transports have a client of that name."""
    if isinstance(value, str):
        value = ",".join(pair for part in value.split(",") for pair in _takers(part.strip(), installed, product))
        pairs = [part.partition(":") for part in value.split(",") if part.strip()]
        if any(not (transport.strip() and client.strip()) for transport, _, client in pairs):
            raise UsageError(f"CLIENT must be pairs, for instance rest:aiohttp, not {value!r}")
        value = {transport.strip(): client.strip() for transport, _, client in pairs}
    if not isinstance(value, dict) or not all(isinstance(client, str) for client in value.values()):
        raise UsageError(f'clients must be a table of names, for instance rest = "aiohttp", not {value!r}')
    for transport in value:
        known("transport", transport, installed)
    return value


def _takers(part: str, installed: tuple[str, ...], product: str) -> list[str]:
    if ":" in part or not part:
        return [part]
    choices = {
        name: getattr(registry.heeding(name, product).Config.__annotations__.get("client"), "__args__", ())
        for name in installed
    }
    takers = [f"{name}:{part}" for name, clients in choices.items() if part in clients]
    if not takers:
        there = tuple(sorted({client for clients in choices.values() for client in clients}))
        raise UsageError(registry.unknown("client", part, there))
    return takers


def options(value: object, installed: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise UsageError("options must be tables, one for each transport, for instance [options.broker]")
    for transport in value:
        known("transport", transport, installed)
    return value


def shown(key: str) -> str:
    """How the person who gave it knows it."""
    return f"{FLAG_OF[key]} ({key})" if key in FLAG_OF else key
