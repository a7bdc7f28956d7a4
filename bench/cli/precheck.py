"""Checks what was typed before set-up, with any Python: `python3 -m bench.cli.precheck [--make] COMMAND ...`.

./fourways calls it while there is no .venv yet, so that a typo is refused at once and not after a minute.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this runs with whatever Python is there
    print("Fourways needs Python 3.11 or newer: give one with PYTHON=, for instance PYTHON=python3.11", file=sys.stderr)
    sys.exit(2)

from bench.cli.arguments import pairs_from_make, read_words, refuse_unknown_command, spell_flags, split_words
from bench.cli.commands import find_command
from bench.cli.exits import refusals
from bench.cli.help_text import list_help, read_version
from bench.cli.platforms import require_linux
from bench.errors import ExitCode

ANSWERED = 100
"""The exit code that tells ./fourways that help was given: it ends with 0 and sets nothing up."""


def check(arguments: list[str]) -> None:
    """Raises UsageError for a subcommand, a setting or a value that is wrong; SystemExit where help was asked for."""
    require_linux()
    by_make = "--make" in arguments
    words = [word for word in spell_flags(arguments) if not word.startswith("-")]
    name = tuple(words[: 2 if words[:1] == ["harness"] else 1])
    command = find_command(name)
    if "--version" in arguments and not words:
        print(read_version())
        sys.exit(ANSWERED)
    if name in ((), ("harness",)) or (command and {"-h", "--help"} & set(arguments)):
        print("\n".join(list_help(command, harness=bool(words))))
        sys.exit(ANSWERED if {"-h", "--help"} & set(arguments) else ExitCode.USAGE)
    if command is None:
        raise refuse_unknown_command(name)
    _, pairs = split_words(command, words[len(name) :])
    if by_make:
        pairs += pairs_from_make(command, os.environ, [name for name, _ in pairs])
    read_words(command, pairs)


if __name__ == "__main__":
    with refusals():
        check(sys.argv[1:])
