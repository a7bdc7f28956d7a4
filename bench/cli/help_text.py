"""Builds the texts of --help from the tables, and whole help pages without click, for before set-up."""

import tomllib
from collections.abc import Iterator

from bench.cli.commands import COMMANDS, Command
from bench.paths import ROOT
from bench.results.setting_spec import SettingSpec

ABOUT = """Measure REST, gRPC, RabbitMQ and Kafka on one order workflow.

Settings are flags (--rate 300) or words (RATE=300), as for make. Every command ends with the exit codes of
docs/reference/exit-codes.md."""
EXAMPLES = {"seconds": "10s, 500ms, 1m", "size": "200, 64KiB, 1kB", "numbers": "150, 50,100", "flag": "yes or no"}
HARNESS = "Measure the harness itself."


def describe(spec: SettingSpec) -> str:
    """A setting's help with its choices or examples, and its default."""
    more = []
    if spec.choices and spec.kind == "word":
        more.append(", ".join(spec.choices))
    elif spec.kind in EXAMPLES:
        more.append(f"as {EXAMPLES[spec.kind]}")
    if spec.default not in (None, {}, []):
        default = ",".join(spec.default) if isinstance(spec.default, list) else spec.default
        shown = {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)
        more.append(f"default {shown}{spec.unit if spec.unit in ('s', 'ms', '/s') else ''}")
    return f"{spec.help} [{'; '.join(more)}]" if more else spec.help


def metavar(spec: SettingSpec) -> str:
    """What stands behind a flag in help."""
    units = {"seconds": "DURATION", "size": "BYTES", "numbers": "RATE,…", "names": "NAME,…", "clients": "NAME,…"}
    return units.get(spec.kind, {"word": "WORD", "text": "WORD", "path": "NAME", "flag": "YES|NO"}.get(spec.kind, "N"))


def read_version() -> str:
    """``fourways 0.1.0``, as pyproject.toml has it."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return f"fourways {tomllib.load(file)['project']['version']}"


def list_help(command: Command | None, *, harness: bool = False) -> Iterator[str]:
    """Lines of help of a command, or of all commands: of the harness or of the rest."""
    if command is not None:
        yield from (command.help, "")
        yield from (f"  {name}  {what}" for name, what in command.actions.items())
        yield from (f"  {spec.flag} {metavar(spec)}  {describe(spec)}" for spec in command.settings.values())
        if command.has_json:
            yield "  --json  print the result as JSON"
        return
    yield from (HARNESS if harness else ABOUT, "")
    yield from (f"  {one.name:<14}{one.help}" for one in COMMANDS if one.harness is harness)
    if not harness:
        yield f"  {'harness':<14}{HARNESS}"
