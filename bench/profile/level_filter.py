"""Restricts a design to the levels named on the command line: `make study PROFILE=size PAYLOAD=1KiB,64KiB`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.errors import UsageError
from bench.profile.parsing import parse
from bench.results.setting_spec import SettingSpec
from bench.results.settings import settings_by_key


def select_levels(
    blocks: Sequence[Mapping[str, Any]], default: Mapping[str, Any], given: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Returns the blocks with the levels that are asked for, and what is ``given`` beside, which holds for all.

    ``default`` is what holds where a block says nothing. A block without any of the levels is left out. Raises
    UsageError for a level that there is not.
    """
    keys = settings_by_key()
    factors = {key for block in blocks for key in block if _is_factor(block[key])}
    beside = {key: text for key, text in given.items() if key not in factors}
    left = [{key: value for key, value in block.items() if key not in beside} for block in blocks]
    for key in given.keys() & factors:
        levels = [level for block in blocks for level in _levels(block.get(key, default.get(key)))]
        there = {_canonical(keys[key], level): str(level) for level in levels}
        asked = set()
        for text in given[key].split(","):
            level = _canonical(keys[key], text.strip())
            if level not in there:
                raise UsageError(
                    f"no level of {keys[key].name} {text.strip()!r}; there are: {', '.join(there.values())}",
                    code="unknown-level",
                )
            asked.add(level)
        left = list(_with(left, keys[key], asked, default))
    if not left:
        picking = " ".join(f"{keys[key].name}={given[key]}" for key in given if key in factors)
        raise UsageError(f"no block of the profile has {picking}; ask for one of them at a time", code="no-block")
    return left, beside


def _with(
    blocks: Iterable[Mapping[str, Any]], spec: SettingSpec, asked: set[str], default: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for block in blocks:
        value = block.get(spec.key, default.get(spec.key))
        if not _is_factor(value):
            if _canonical(spec, value) in asked:
                yield dict(block)
            continue
        kept = {
            name: [level for level in levels if _canonical(spec, level) in asked]
            for name, levels in _by_transport(value)
        }
        if kept := {name: levels for name, levels in kept.items() if levels}:
            yield {**block, spec.key: kept if isinstance(value, Mapping) else kept[""]}


def _canonical(spec: SettingSpec, level: Any) -> str:
    """One text for one level, however it is typed: 1024 and 1KiB are the same."""
    try:
        return str(parse(spec, level))
    except UsageError:
        return str(level)


def _is_factor(value: object) -> bool:
    return isinstance(value, list | Mapping)


def _levels(value: Any) -> list[Any]:
    return [level for _, levels in _by_transport(value) for level in levels]


def _by_transport(value: Any) -> Iterable[tuple[str, Any]]:
    """A factor's lists of levels; "" is for all transports. What is no list is refused where the cells are made."""
    if value is None:
        return []
    pairs = value.items() if isinstance(value, Mapping) else [("", value)]
    return [(name, levels if isinstance(levels, list) else [levels]) for name, levels in pairs]
