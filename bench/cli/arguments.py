"""Reads what was typed after a subcommand: settings by name, from flags, KEY=VALUE or make.

It imports the standard library and the tables alone, so that a wrong word is refused before anything is installed.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bench.cli.commands import COMMANDS, RENAMED_COMMANDS, Command, find_command
from bench.errors import UsageError, unknown_word
from bench.paths import ROOT
from bench.profile.parsing import parse
from bench.results.setting_names import RENAMED, SYNONYMS
from bench.results.settings import SETTINGS
from transports.registry import list_needs_of_plugins

MAKE_PREFIX = "ASKED_"
"""Make hands on what was typed as KEY=VALUE in the environment, as ASKED_KEY, which no shell reads."""
TYPED_ONLY = frozenset({"RESULTS", "STATE", "RUN", "OUT", "A", "AS", "B", "ONLY", "FOLDER", "BASE", "HEAD"})
"""Settings that make takes from its command line and never from the environment, where others use these names."""
PLAIN_FLAGS = frozenset({"--json", "--help", "--make", "--version", "--"})
"""Flags that take no value."""
SERVERS = ("RABBITMQ_URL", "KAFKA_BOOTSTRAP", "POSTGRES_URL", "KEYS")
"""Words for servers that every command with servers takes; a plug-in's NAME_URL comes to them."""
_SERVER = re.compile(r"[A-Z0-9_]+_(URL|BOOTSTRAP)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked of a subcommand."""

    command: Command
    words: Mapping[str, str] = field(default_factory=dict)
    """By the names of settings, as typed."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """RABBITMQ_URL, KAFKA_BOOTSTRAP, KEYS and the like, by name."""
    line: str = ""
    """The command as it can be typed again, without servers."""
    json: bool = False
    action: str = ""
    """One of the command's, or none."""

    def value(self, name: str) -> Any:
        """A setting as its kind has it, its default where it was not typed. Raises UsageError."""
        spec = self.command.settings[name]
        text = self.words.get(name)
        if text is None:
            return spec.default if spec.default is None else parse(spec, spec.default)
        return parse(spec, text)

    def path(self, name: str) -> Path:
        """A folder or file: as it was typed, from where it was typed; a default lies in the checkout."""
        return Path(self.words[name]) if name in self.words else ROOT / str(self.command.settings[name].default)

    @property
    def profile_words(self) -> dict[str, str]:
        """The settings of a profile among what was typed."""
        return {name: text for name, text in self.words.items() if name in SETTINGS}


def read_words(command: Command, pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Settings by name, and servers by name, of (name, value) pairs in any case.

    Every value is parsed, so that a wrong one is refused here. Raises UsageError: an unknown name with the nearest
    right one, an old name with the new one, an empty value, a name that was given twice.
    """
    words: dict[str, str] = {}
    servers: dict[str, str] = {}
    for given, text in pairs:
        name = given.upper().replace("-", "_")
        if not (given + text).isascii():
            _require_utf8(name, text)
        if name not in command.settings and SYNONYMS.get(name) in command.settings:
            name = SYNONYMS[name]
        if name in words or name in servers:
            raise UsageError(f"{name} is given twice; give it once", code="setting-twice")
        if name not in command.settings:
            if command.servers and (name in SERVERS or _SERVER.fullmatch(name)):
                servers[name] = _check_server(name, text)
                continue
            if new := RENAMED.get(name):
                lacking = "" if new in command.settings else f", and {command.name} does not take it; leave it out"
                raise UsageError(f"{name}= is called {new}= now{lacking}", code="renamed-setting")
            synonyms = (name for name, meant in SYNONYMS.items() if meant in command.settings)
            servers_too = SERVERS if command.servers else ()
            raise unknown_word("setting", name, (*command.settings, *synonyms, *servers_too))
        if not text.strip():
            raise _refuse_empty(name)
        spec = command.settings[name]
        for level in text.split(",") if spec.factor else [text]:  # a study takes several levels of a factor
            parse(spec, level)
        words[name] = text.strip()
    return words, servers


def _check_server(name: str, text: str) -> str:
    """The text. Raises UsageError where it is empty, and for a server that no method here needs."""
    if name not in SERVERS:
        of_plugins = tuple(f"{need.upper()}_URL" for need in list_needs_of_plugins())
        if name not in of_plugins:
            raise unknown_word("server", name, (*SERVERS, *of_plugins))
    if not text.strip():
        raise _refuse_empty(name)
    return text


def _require_utf8(name: str, text: str) -> None:
    """Raises UsageError for bytes that are no UTF-8, which no manifest can hold; Python reads them as surrogates."""
    try:
        (name + text).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name!r} has bytes that are not UTF-8: {text!r}; give text", code="not-utf8") from None


def _refuse_empty(name: str) -> UsageError:
    return UsageError(f"{name}= is empty; give it a value or leave it out", code="empty-setting")


def spell_flags(arguments: Iterable[str]) -> list[str]:
    """The arguments with --rate 300 and --rate=300 spelt RATE=300, so that both ways are read by the same code."""
    spelt, rest = [], iter(arguments)
    for word in rest:
        if not word.startswith("--") or word in PLAIN_FLAGS:
            spelt.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        spelt.append(f"{name.upper()}={value if equals else next(rest, '')}")
    return spelt


def split_words(command: Command, words: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """The action that was asked for, or "", and the settings as pairs. Raises UsageError."""
    if not words or not command.actions or "=" in words[0]:
        return "", [split_pair(word) for word in words]
    action, *rest = words
    if action not in command.actions:
        known = ", ".join(command.actions)
        raise UsageError(f"{action!r} is no setting; give KEY=VALUE, or first one of {known}", code="no-setting")
    return action, [split_pair(word if "=" in word else f"RUN={word}") for word in rest]


def split_pair(word: str) -> tuple[str, str]:
    """KEY=VALUE as a pair. Raises UsageError for anything else."""
    key, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"{word!r} is no setting; give KEY=VALUE or --key VALUE", code="no-setting")
    return key, value


def pairs_from_make(command: Command, environ: Mapping[str, str], given: Collection[str] = ()) -> list[tuple[str, str]]:
    """What was typed to make, then what the environment has of the command's settings and was not typed.

    What the Makefile itself has ``given`` stands above both. Raises UsageError for an empty PYTHON= and for an old name
    in the environment.
    """
    typed = {name.removeprefix(MAKE_PREFIX): text for name, text in environ.items() if name.startswith(MAKE_PREFIX)}
    if not typed.pop("PYTHON", "of set-up, which is over").strip():
        raise _refuse_empty("PYTHON")
    for old, new in RENAMED.items():
        if environ.get(old, "").strip() and new in command.settings and not {old, new} & {*typed, *given}:
            raise UsageError(
                f"{old} of the environment is called {new} now; unset it, or give {new}=", code="renamed-setting"
            )
    around = [
        (name, environ[name])
        for name in command.settings
        if name in environ and name not in typed and name not in TYPED_ONLY and name != "PYTHON"
    ]
    return [(name, text) for name, text in (*typed.items(), *around) if name not in given]


def forget_make(environ: "os._Environ[str]") -> None:
    """Take make's settings out of the environment, so that no program that is started from here reads them."""
    for name in [name for name in environ if name.startswith(MAKE_PREFIX)]:
        del environ[name]


def refuse_unknown_command(words: Iterable[str]) -> UsageError:
    """The refusal of a subcommand that there is not: with the new word for an old one, or with the nearest."""
    words = tuple(words)
    *group, word = words
    if renamed := RENAMED_COMMANDS.get(word):
        return UsageError(f"{word} is called {renamed} now", code="renamed-command")
    if find_command(("harness", word)) is not None:
        return UsageError(f"{word} is called harness {word} now", code="renamed-command")
    if group and find_command((word,)) is not None:
        return UsageError(f"{word} is not of the harness; type fourways {word}", code="unknown-command")
    full = {one.name: f"harness {one.name}" if one.harness else one.name for one in COMMANDS}
    full |= {**RENAMED_COMMANDS, "harness": "harness"}
    typed = " ".join(words)
    if near := get_close_matches(word.lower(), full, n=1):
        return UsageError(f"no command {typed!r}; did you mean {full[near[0]]!r}?", code="unknown-command")
    return unknown_word("command", typed, tuple(full.values()))
