"""Parses values of settings as people type them, units included; a wrong one is refused by its setting's name.

It imports the standard library, bench/errors.py and the table of settings alone.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import UsageError, unknown_word
from bench.results.setting_spec import SettingSpec

_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_BYTES = {"": 1, "b": 1, "byte": 1, "bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTES |= {"k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3}
_SECONDS = {
    **dict.fromkeys(("us", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_UNITS: Mapping[str, Mapping[str, float]] = {
    "s": _SECONDS,
    "ms": {name: 1e3 * seconds for name, seconds in _SECONDS.items()},
    "/s": {"/s": 1.0, "/min": 1 / 60, "/m": 1 / 60, "/h": 1 / 3600},
}
"""What a number of each unit may have behind it, and by what it is multiplied then."""
_EXAMPLES = {
    "s": ", for instance 10s, 500ms or 1m",
    "ms": ", for instance 100ms",
    "/s": ", for instance 150 or 150/s",
}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+)\s*([a-z%/]*)", re.IGNORECASE | re.ASCII)


def describe(spec: SettingSpec) -> str:
    """Returns the name on the command line, with the key in a profile where there is one: ``RATE (rate_per_s)``."""
    return f"{spec.name} ({spec.key})" if spec.key else spec.name


def parse(spec: SettingSpec, value: Any) -> Any:
    """Returns a value, as it is typed or stands in a profile, in the type of the setting's kind.

    names: tuple of str. numbers: sorted tuple of float. number, fraction: float. seconds: float, in seconds.
    size: int, in bytes. count: int. flag: bool. clients: str or dict. The rest: str. Raises UsageError.
    """
    if isinstance(value, str):
        value = value.strip()
        if not value:
            raise UsageError(f"{describe(spec)} is empty; give it a value or leave it out", code="empty-setting")
    return _PARSERS[spec.kind](spec, value)


def parse_bytes(text: str) -> int | None:
    """Returns the bytes of 200, 1KiB, 1kB or 1.5MiB; None for other texts, and for a fraction of a byte."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _BYTES:
        return None
    found = float(match[1]) * _BYTES[match[2]]
    return int(found) if found >= 1 and found == int(found) else None


def _parse_word(spec: SettingSpec, value: Any) -> str:
    """One of the setting's words, whatever its case, or one of their aliases."""
    text = str(value)
    found = spec.aliases.get(text.lower(), text.lower())
    if found not in spec.choices:
        raise unknown_word(spec.name.lower(), text, spec.choices, spec.aliases)
    return found


def _parse_names(spec: SettingSpec, value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise _refuse(spec, "names, for instance rest,grpc", value)
    lower = [part.strip().lower() for part in parts if part.strip()]
    return tuple(dict.fromkeys(spec.aliases.get(part, part) for part in lower))


def _parse_number(spec: SettingSpec, value: Any) -> float:
    """A number, with a unit where the setting has one."""
    found = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        unit = match[2].lower()
        found = float(match[1]) * (_UNITS.get(spec.unit, {}).get(unit, math.nan) if unit else 1.0)
    if not math.isfinite(found) or found < 0 or (found == 0 and not spec.zero):
        raise _refuse(spec, f"{'zero or ' if spec.zero else ''}a positive number{_EXAMPLES.get(spec.unit, '')}", value)
    most = math.inf if spec.most is None else spec.most
    if found and not spec.least <= found <= most:
        bounds = f"{spec.least:g} or more" if most == math.inf else f"{spec.least:g} to {most:g}"
        raise _refuse(spec, f"{'0 or ' if spec.zero else ''}{bounds}{' seconds' if spec.unit == 's' else ''}", value)
    return found


def _parse_numbers(spec: SettingSpec, value: Any) -> tuple[float, ...]:
    """One number, a list of them, or a text with commas; in rising order, each once."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    found = {_parse_number(spec, part.strip() if isinstance(part, str) else part) for part in parts}
    if not found:
        raise _refuse(spec, "a positive number, or several with commas", value)
    return tuple(sorted(found))


def _parse_count(spec: SettingSpec, value: Any) -> int:
    text = str(value).strip()
    most = math.inf if spec.most is None else spec.most
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,19}", text) or not spec.least <= int(text) <= most:
        bounds = f"{spec.least:.0f} or more" if most == math.inf else f"{spec.least:.0f} to {most:.0f}"
        raise _refuse(spec, f"a whole number, {bounds}", value)
    return int(text)


def _parse_fraction(spec: SettingSpec, value: Any) -> float:
    match = _NUMBER.fullmatch(str(value).strip())
    found = math.nan
    if match and match[2] in ("", "%") and not isinstance(value, bool):
        found = float(match[1]) / (100 if match[2] else 1)
    if not 0 <= found <= 1:
        raise _refuse(spec, "a fraction from 0 to 1, for instance 0.5 or 50%", value)
    return found


def _parse_size(spec: SettingSpec, value: Any) -> int:
    if isinstance(value, bool) or (found := parse_bytes(str(value))) is None:
        raise _refuse(spec, "a positive number of bytes, for instance 200, 64KiB or 1kB", value)
    return found


def _parse_flag(spec: SettingSpec, value: Any) -> bool:
    text = str(value).lower()
    if text not in _FLAGS:
        raise _refuse(spec, "1 or 0, yes or no", value)
    return _FLAGS[text]


def _parse_text(spec: SettingSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse(spec, "a word", value)
    return value.lower() if spec.kind == "text" else value


def _keep(spec: SettingSpec, value: Any) -> Any:
    """Clients: bench/profile/resolve.py reads them, for their names follow from the transports."""
    return value


def _refuse(spec: SettingSpec, wanted: str, value: Any) -> UsageError:
    return UsageError(f"{describe(spec)} must be {wanted}, not {value!r}", code=f"bad-{spec.kind}")


_PARSERS: Mapping[str, Callable[[SettingSpec, Any], Any]] = {
    "names": _parse_names,
    "word": _parse_word,
    "text": _parse_text,
    "path": _parse_text,
    "count": _parse_count,
    "number": _parse_number,
    "numbers": _parse_numbers,
    "fraction": _parse_fraction,
    "size": _parse_size,
    "seconds": _parse_number,
    "flag": _parse_flag,
    "clients": _keep,
}
