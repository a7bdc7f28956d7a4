"""Loads a profile: a TOML file by name or path, with the settings of the command line over it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError, unknown_word
from bench.paths import PROFILES
from bench.profile import interpreters
from bench.profile.level_filter import select_levels
from bench.profile.parsing import parse
from bench.profile.resolve import blocks_in, resolve
from bench.profile.schema import Profile
from bench.results.setting_names import RENAMED
from bench.results.settings import SETTINGS, settings_by_key
from bench.stats.sets import MIN_SETS
from transports import registry


def load_profile(profile: str = "default", settings: Mapping[str, str] | None = None) -> Profile:
    """A profile by name or by the path of a TOML file, with ``settings`` over it, by their names.

    A setting that is a factor of the profile picks among its levels. Raises UsageError, and MissingServer for a study
    of interpreters where there are too few.
    """
    own = {} if profile.lower() == "default" else _read(_find(profile))
    raw = {**_read(PROFILES / "default.toml"), **own}
    given = to_keys(settings or {})
    for named in (raw, given):
        if interpreters.KEY in named:
            named[interpreters.KEY] = interpreters.name_typed(named[interpreters.KEY])
    if blocks := list(map(interpreters.name_in_block, blocks_in(raw))):
        usual = {spec.key: spec.default for spec in SETTINGS.values() if isinstance(spec.default, str | int | float)}
        raw["block"], given = select_levels(blocks, {**usual, **raw}, given)
    _refuse_without_use({**raw, **given}, given)
    interpreters.require_one({**raw, **given}.get(interpreters.KEY, interpreters.OWN))
    resolved = resolve(Path(profile).stem.lower(), {**raw, **given}, by_name="transports" in given)
    if (backend := resolved.backend) and not any(map(registry.list_backends, resolved.transports)):
        raise UsageError(
            f"BACKEND={backend} is for methods with a choice of backends, which {' and '.join(resolved.transports)} "
            "have not; leave it out",
            code="no-backend-choice",
        )
    if resolved.slice_s and _ends_when_told(own, given):
        return msgspec.structs.replace(resolved, until_told=True, rounds=MIN_SETS)
    return resolved


def _ends_when_told(own: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether nobody says how many sets there are; what is typed goes before what the profile's own file says."""
    typed = [key for key in ("tell", "within_s") if key in given]
    if typed and "rounds" in given:
        names = " and ".join(settings_by_key()[key].name for key in typed)
        raise UsageError(
            f"ROUNDS is how many sets there are, and {names} when they end; leave one of them out",
            code="tell-with-rounds",
        )
    return "rounds" not in given and (bool(typed) or "rounds" not in own)


def restore_profile(manifest: Mapping[str, Any], rounds: str = "") -> Profile:
    """A profile as a manifest holds it, with more ``rounds`` if they are given.

    Raises UsageError for fewer, and for a profile with other settings than today's.
    """
    try:
        profile = msgspec.convert(manifest, Profile)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"that run was begun by another version of Fourways, whose settings differ: {error}; measure again",
            code="other-version",
        ) from error
    if not rounds:
        return profile
    count = parse(SETTINGS["ROUNDS"], rounds)
    if count < profile.rounds:
        raise UsageError(
            f"ROUNDS must be a whole number, {profile.rounds} or more, which that run has, not {rounds!r}",
            code="fewer-rounds",
        )
    return msgspec.structs.replace(profile, rounds=count, until_told=False)


def profile_names() -> tuple[str, ...]:
    """The names of all profiles."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def to_keys(settings: Mapping[str, str]) -> dict[str, Any]:
    """Settings by their names as raw settings by their keys. Raises UsageError for an unknown or an empty one."""
    found = {}
    for given, text in settings.items():
        name = given.upper().replace("-", "_")
        if name in RENAMED:
            raise UsageError(f"{name}= is called {RENAMED[name]}= now", code="renamed-setting")
        if name not in SETTINGS:
            raise unknown_word("setting", name, tuple(SETTINGS))
        if not text.strip():
            raise UsageError(f"{name}= is empty; give it a value or leave it out", code="empty-setting")
        found[SETTINGS[name].key] = text.strip()
    return found


def _refuse_without_use(raw: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse settings of arrivals that are not these. A profile may hold settings of several."""
    word = str(raw.get("arrivals") or SETTINGS["ARRIVALS"].default).lower()
    arrivals = SETTINGS["ARRIVALS"].aliases.get(word, word)
    levels = [block["arrivals"] for block in blocks_in(raw) if "arrivals" in block]
    keys = settings_by_key()
    for key in given:
        kind = key.partition("_")[0]
        if kind in ("step", "burst", "replay") and kind != arrivals and not any(kind in level for level in levels):
            raise UsageError(
                f"{keys[key].name} is for ARRIVALS={kind}, and they are {arrivals}; leave it out or say "
                f"ARRIVALS={kind}",
                code="setting-of-other-arrivals",
            )
        if key in ("slices", "yardstick", "lead_in_s", "tell", "within_s") and not _is_given(
            {**raw, **given}.get("slice_s")
        ):
            raise UsageError(
                f"{keys[key].name} is for slices; leave it out or give SLICE=, for instance SLICE=500ms",
                code="setting-of-slices",
            )
        if key == "duration_s" and _is_given({**raw, **given}.get("slice_s")):
            raise UsageError(
                "DURATION is for whole trials, and slices are as long as SLICE; leave one of them out",
                code="duration-of-slices",
            )
        if arrivals == "replay" and key in ("rate_per_s", "duration_s"):
            raise UsageError(
                f"{keys[key].name} is in the file with ARRIVALS=replay; leave it out", code="setting-of-the-replay"
            )


def _is_given(slice_: Any) -> bool:
    """Whether this raw SLICE asks for slices."""
    return bool(slice_) and parse(SETTINGS["SLICE"], slice_) > 0


def _find(profile: str) -> Path:
    if profile.endswith(".toml"):
        return Path(profile)
    if profile.lower() not in (names := profile_names()):
        raise unknown_word("profile", profile, names)
    return PROFILES / f"{profile.lower()}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"profile {path} cannot be read: {error.strerror}", code="unreadable-profile") from error
    except ValueError as error:  # of TOML, of text, or of a path with a null byte
        raise UsageError(f"profile {path} is not TOML: {error}", code="unreadable-profile") from error
