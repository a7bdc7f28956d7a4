"""Renders docs/reference from the tables of subcommands, settings, measures, exit codes and verdicts."""

from collections.abc import Iterator

import msgspec

from bench.cli.commands import COMMANDS, Command
from bench.cli.help_text import describe
from bench.paths import ROOT
from bench.regress.verdict import Verdict
from bench.results.durable_files import format_json
from bench.results.reference import write_pages
from bench.results.settings import SETTINGS

PAGE = ROOT / "docs" / "reference" / "commands.md"
SCHEMA = PAGE.with_name("regression.schema.json")
HEAD = """\
# Commands

`make reference` writes this page from the table in `bench/cli/commands.py`.

`./fourways COMMAND` runs from a checkout and makes its `.venv` first. `fourways COMMAND` is the
same where `.venv` is active. `make COMMAND` is the same without the word `harness`
([make.md](make.md)). `COMMAND --help` prints what stands here.

- **Settings** are flags (`--rate 300`) or words (`RATE=300`), in any order and in either case. A
  unit is typed with its number: `10s`, `5ms`, `1KiB`, `150/s`.
- **Servers** that run already are given by URL, in the environment or as words: `RABBITMQ_URL=`,
  `KAFKA_BOOTSTRAP=`, `POSTGRES_URL=`, a plug-in's `NAME_URL=`, and `KEYS=` for a folder of
  `certificates`.
- **`--json`** prints the result as JSON on standard output. Everything else then goes to standard
  error. An infinite number is `"inf"`, and a missing one is `null`.
- **Exit codes** are the same for every command: [exit-codes.md](exit-codes.md). A refusal is one
  sentence on standard error, and ends with its code in brackets.
- **Completion** of subcommands, flags and values, in bash (zsh and fish have `zsh_source` and
  `fish_source`):

      eval "$(_FOURWAYS_COMPLETE=bash_source ./fourways)"
"""


def render_commands() -> str:
    """Return the page as Markdown: a table of all commands, then the settings of each."""
    rows = [
        f"| [`{_name(one)}`](#{_anchor(one)}) | {one.help} | {_yes(one.has_json)} | {_yes(one.servers)} |"
        for one in COMMANDS
    ]
    table = ["| command | what it does | `--json` | servers by URL |", "|---|---|---|---|", *rows]
    return "\n".join([HEAD, *table, *(line for one in COMMANDS for line in _section(one))]) + "\n"


def _section(command: Command) -> Iterator[str]:
    """A heading, and a table of the settings that are not those of every measurement."""
    yield from ("", f"## {_name(command)}", "", command.help)
    own = command.settings
    if SETTINGS.items() <= own.items():
        own = {name: spec for name, spec in own.items() if name not in SETTINGS}
        yield from ("", "It takes every setting of [settings.md](settings.md), and these:")
    for action, what in command.actions.items():
        yield from ("", f"`{command.name} {action}`: {what}.")
    yield from ("", "| word | flag | meaning |", "|---|---|---|")
    yield from (f"| `{name}=` | `{spec.flag}` | {describe(spec)} |" for name, spec in own.items())


def _name(command: Command) -> str:
    return f"harness {command.name}" if command.harness else command.name


def _anchor(command: Command) -> str:
    return _name(command).replace(" ", "-")


def _yes(value: bool) -> str:
    return "yes" if value else ""


def render_schema() -> str:
    """Return the JSON Schema of regression.json, as the verdict's classes have it."""
    return format_json(msgspec.json.schema(Verdict))


if __name__ == "__main__":
    SCHEMA.write_text(render_schema(), encoding="utf-8")
    PAGE.write_text(render_commands(), encoding="utf-8")
    write_pages()
