"""Blocks of factors, of which flags pick levels: `make study PROFILE=size PAYLOAD=1KiB,64KiB`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.errors import UsageError
from bench.profile import parsing as values


def picked(
    blocks: Sequence[Mapping[str, Any]], default: Mapping[str, Any], given: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The blocks with the levels that are asked for, and what is ``given`` beside: it holds for every block.

    ``default`` is what holds where a block says nothing. A block without any of the levels is left out. Raises
    UsageError for a level that there is not.
    """
    factors = {key for block in blocks for key in block if _is_factor(block[key])}
    beside = {key: text for key, text in given.items() if key not in factors}
    left = [{key: value for key, value in block.items() if key not in beside} for block in blocks]
    for key in given.keys() & factors:
        asked = [text.strip() for text in given[key].split(",")]
        there = {level: None for block in blocks for level in _levels(block.get(key, default.get(key)))}
        for level in asked:
            values.known(f"level of {values.FLAG_OF[key]}", level, tuple(there))
        left = list(_with(left, key, asked, default))
    if not left:
        picking = " ".join(f"{values.FLAG_OF[key]}={given[key]}" for key in given if key in factors)
        raise UsageError(f"no block of the profile has {picking}; ask for one of them at a time")
    return left, beside


def _with(
    blocks: Iterable[Mapping[str, Any]], key: str, asked: Sequence[str], default: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for block in blocks:
        value = block.get(key, default.get(key))
        if not _is_factor(value):
            if str(value) in asked:
                yield dict(block)
            continue
        kept = {name: [level for level in levels if str(level) in asked] for name, levels in _by_transport(value)}
        if kept := {name: levels for name, levels in kept.items() if levels}:
            yield {**block, key: kept if isinstance(value, Mapping) else kept[""]}


def _is_factor(value: object) -> bool:
    return isinstance(value, list | Mapping)


def _by_transport(value: Any) -> Iterable[tuple[str, Any]]:
    """A factor's lists of levels; "" is for all transports. What is no list is refused where the cells are made."""
    pairs = value.items() if isinstance(value, Mapping) else [("", value)]
    return [(name, levels if isinstance(levels, list) else [levels]) for name, levels in pairs]


def _levels(value: Any) -> list[str]:
    """As they would be typed."""
    if value is None:
        return []
    return [str(level) for _, levels in _by_transport(value) for level in levels]
