"""The command `fourways`: its subcommands, their flags and --help, all from the table in bench/cli/commands.py."""

import importlib
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from bench.cli.arguments import (
    Asked,
    forget_make,
    pairs_from_make,
    read_words,
    refuse_unknown_command,
    spell_flags,
    split_words,
)
from bench.cli.commands import COMMANDS, Command, find_command
from bench.cli.exits import end, refusals
from bench.cli.help_text import ABOUT, HARNESS, describe, metavar, read_version
from bench.cli.platforms import require_linux
from bench.errors import ExitCode
from bench.results.setting_spec import SettingSpec


class Subcommands(click.Group):
    """A group that refuses an old or misspelt subcommand in one sentence."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            words = (*ctx.command_path.split()[1:], args[0])
            raise refuse_unknown_command(words)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class SettingsCommand(click.Command):
    """A command whose flags are read as KEY=VALUE words are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if ctx.resilient_parsing else spell_flags(args))


class SettingOption(click.Option):
    """A flag for --help, whose values are completed from the table; SettingsCommand reads it."""

    def __init__(self, spec: SettingSpec) -> None:
        super().__init__([spec.flag, spec.name], metavar=metavar(spec), help=describe(spec), expose_value=False)
        self._spec = spec

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        known = (*self._spec.choices, *self._spec.aliases)
        return [CompletionItem(f"{before}{comma}{word}") for word in known if word.startswith(last)]


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Prints ``fourways 0.1.0`` as pyproject.toml has it."""
    if asked and not ctx.resilient_parsing:
        click.echo(read_version())
        ctx.exit()


def build_command(command: Command) -> click.Command:
    """The click command of a row of the table; its module is imported when it runs."""

    def run(words: tuple[str, ...], json: bool = False) -> None:
        by_make = bool(click.get_current_context().find_root().params.get("make"))
        action, typed = split_words(command, words)
        if by_make:
            typed += pairs_from_make(command, os.environ, [name for name, _ in typed])
        given, servers = read_words(command, typed)
        if command.servers:
            servers = {**_servers_around(), **servers}
        line = _format_line(command, action, given, by_make)
        forget_make(os.environ)
        require_linux()
        asked = Asked(command=command, words=given, servers=servers, line=line, json=json, action=action)
        importlib.import_module(f"bench.cli.{command.module}").run(asked)

    params: list[click.Parameter] = [SettingOption(spec) for spec in command.settings.values()]
    if command.has_json:
        params.append(click.Option(["--json"], is_flag=True, help="print the result as JSON"))
    actions = f"[{'|'.join(command.actions)}] " if command.actions else ""
    params.append(click.Argument(["words"], nargs=-1, metavar=f"{actions}[KEY=VALUE]..."))
    told = "\n\n".join([command.help, *(f"{name}: {what}." for name, what in command.actions.items())])
    return SettingsCommand(command.name, params=params, callback=run, help=told, short_help=command.help)


def _servers_around() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if value and (name.endswith(("_URL", "_BOOTSTRAP")) or name == "KEYS")
    }


def _format_line(command: Command, action: str, given: Mapping[str, str], by_make: bool) -> str:
    """The command as a person would type it again; without servers, whose URLs may hold a password."""
    words = ["make"] if by_make else ["fourways", "harness"] if command.harness else ["fourways"]
    actions = [action] if action else []
    return shlex.join([*words, command.name, *actions, *(f"{name}={value}" for name, value in given.items())])


def build_app() -> click.Group:
    """The command tree. --make is for the Makefile, which hands settings on in the environment."""
    context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = Subcommands(
        "fourways",
        help=ABOUT,
        no_args_is_help=True,
        context_settings=context,
        params=[
            click.Option(["--make"], is_flag=True, hidden=True),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print the version and exit.",
            ),
        ],
        callback=lambda make: None,
    )
    harness = Subcommands("harness", help=HARNESS, no_args_is_help=True)
    for command in COMMANDS:
        (harness if command.harness else app).add_command(build_command(command))
    app.add_command(harness)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of `fourways` and of `python -m bench`. Always raises SystemExit."""
    app = build_app()
    with refusals():
        if "_FOURWAYS_COMPLETE" in os.environ:
            app.main(arguments, prog_name="fourways")
        try:
            app.main(arguments, prog_name="fourways", standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else "")
            raise SystemExit(int(ExitCode.USAGE)) from None
        except click.ClickException as error:
            sentence = " ".join(error.format_message().split())
            end(sentence, "bad-flag", ExitCode.USAGE)
        except click.exceptions.Abort:
            end("stopped; nothing is left running", "stopped", ExitCode.STOPPED)
    raise SystemExit(int(ExitCode.OK))


__all__ = ["build_app", "find_command", "main"]
