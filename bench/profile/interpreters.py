"""Turns what is typed for INTERPRETER into names of Pythons that are on this machine."""

from collections.abc import Mapping
from typing import Any

from bench.errors import MissingServer, UsageError, unknown_word
from bench.provision.interpreters import find_interpreters
from bench.results.settings import SETTINGS

KEY = SETTINGS["INTERPRETER"].key
OWN = str(SETTINGS["INTERPRETER"].default)
"""The harness's own Python."""
FOUND = "found"
"""Each usable one of this machine."""


def name_in_block(block: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a block of a profile with the names of its interpreters. Raises UsageError and MissingServer."""
    if KEY not in block:
        return dict(block)
    value = block[KEY]
    if isinstance(value, Mapping):
        return {**block, KEY: {name: _name_all(levels) for name, levels in value.items()}}
    return {**block, KEY: _name_all(value)}


def name_typed(value: Any) -> str:
    """Returns what is typed, or stands in a profile, with names; several with commas.

    Raises UsageError and MissingServer.
    """
    return ",".join(_name_words(str(value).split(",")))


def require_one(value: Any) -> None:
    """Raises UsageError for several interpreters where none is a factor."""
    if "," in str(value):
        raise UsageError(
            f"{SETTINGS['INTERPRETER'].name} takes one Python here, not {value}; several are for "
            "`make study PROFILE=python`",
            code="several-interpreters",
        )


def _name_all(levels: Any) -> Any:
    """What is no list is a constant of the block, or is refused where the cells are made."""
    if isinstance(levels, list):
        return _name_words([str(level) for level in levels])
    return name_typed(levels) if isinstance(levels, str) else levels


def _name_words(words: list[str]) -> list[str]:
    """The names in the sequence of the words, each once."""
    return list(dict.fromkeys(name for word in words for name in _name_word(word.strip().lower())))


def _name_word(word: str) -> list[str]:
    if word == OWN or not word:  # an empty one is refused by its setting's name
        return [word]
    here = list(find_interpreters())
    if word == FOUND:
        if len(here) < 2:
            raise MissingServer(
                f"a study of interpreters needs two usable Pythons, and here is {here[0] if here else 'none'}; install "
                "another one, or name it in PATH",
                code="too-few-interpreters",
            )
        return here
    # 3.12 is 3.12.1, and 3.11.2 is 3.11.2+pgo; where both builds are there, it is the optimised one.
    named = [name for name in here if name == word or name.startswith((f"{word}.", f"{word}+"))]
    if not named:
        raise unknown_word("interpreter", word, (*here, OWN, FOUND))
    return [word if word in named else max(named, key=lambda name: name.endswith("+pgo"))]
