"""Reads a profile: a TOML file by name or path, with the settings of the command line over it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.paths import PROFILES
from bench.profile import parsing as values
from bench.profile.level_filter import picked
from bench.profile.resolve import _blocks, resolve
from bench.profile.schema import Profile
from transports import registry


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
