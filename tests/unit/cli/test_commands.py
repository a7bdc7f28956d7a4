"""Tests the table of commands, their help, and what help imports."""

import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from bench.cli import app
from bench.cli.arguments import Asked
from bench.cli.commands import COMMANDS, RENAMED_COMMANDS, Command, find_command
from bench.errors import ExitCode
from bench.paths import ROOT
from tests.unit.cli.conftest import Refused, Runner
from tests.unit.cli.test_arguments import full_name

HEAVY = {"pandas", "numpy", "matplotlib", "locust", "gevent", "rich", "grpc", "uvloop", "typer", "jinja2"}


def print_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        app.main([*words, "--help"])
    assert ended.value.code == ExitCode.OK
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
def test_every_command_has_a_module_that_runs_it(command: Command) -> None:
    run = importlib.import_module(f"bench.cli.{command.module}").run
    assert list(inspect.signature(run).parameters) == ["asked"]
    assert find_command(tuple(full_name(command).split())) is command


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
def test_the_help_of_every_command_names_every_setting(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    said = print_help(full_name(command).split(), capsys)
    assert command.help in said
    for spec in command.settings.values():
        assert f"{spec.flag} " in said
        assert spec.help.split(maxsplit=1)[0] in said
    assert ("--json" in said) == command.has_json


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words, harness in (([], False), (["harness"], True)):
        said = print_help(words, capsys)
        assert all(f" {command.name} " in said for command in COMMANDS if command.harness == harness)
    assert "--make" not in said


def test_a_command_that_is_left_out_gets_the_help_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main([])
    assert ended.value.code == ExitCode.USAGE
    assert "Usage: fourways" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new"), RENAMED_COMMANDS.items())
def test_an_old_command_is_refused_with_the_new_one(refused: Runner, old: str, new: str) -> None:
    assert find_command(tuple(new.split())) is not None
    for line in (old, f"harness {old}", f"--make {old}"):
        done = refused(line)
        assert done == Refused(ExitCode.USAGE, "renamed-command")
        assert new in done.sentence


@pytest.mark.parametrize("name", [command.name for command in COMMANDS if command.harness])
def test_a_command_of_the_harness_is_found_without_that_word(refused: Runner, name: str) -> None:
    done = refused(name)
    assert done == Refused(ExitCode.USAGE, "renamed-command")
    assert f"harness {name}" in done.sentence


@pytest.mark.parametrize(
    ("typed", "meant"), [("bnech", "bench"), ("harness selftst", "harness selftest"), ("reprot", "report")]
)
def test_a_misspelt_command_gets_the_nearest(refused: Runner, typed: str, meant: str) -> None:
    done = refused(typed)
    assert done == Refused(ExitCode.USAGE, "unknown-command")
    assert repr(meant) in done.sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    ["--help", "bench --help", "advise --help", "harness soak --help", "bench RATEZ=3", "bench CODEC=jsn", "bnech"],
)
def test_help_and_the_refusal_of_a_typo_import_nothing_heavy(line: str) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr))\n"
        f"sys.argv[1:] = {line.split()!r}\n"
        "from bench.cli.app import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    imported = set(done.stderr.splitlines()[-1].split())
    assert "bench" in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("bench --rate 300 codec=json", "fourways bench RATE=300 CODEC=json"),
        ("bench PROFILE='of mine.toml'", "fourways bench 'PROFILE=of mine.toml'"),
        ("--make bench rate=300", "make bench RATE=300"),
        ("harness soak RABBITMQ_URL=amqp://guest:secret@there ORDERS=2000", "fourways harness soak ORDERS=2000"),
    ],
)
def test_a_run_keeps_the_command_that_can_be_typed_again_without_a_password(
    line: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Asked] = []
    for module in ("bench", "soak"):
        monkeypatch.setattr(f"bench.cli.{module}.run", asked.append)
    with pytest.raises(SystemExit):
        app.main(shlex.split(line))
    assert [one.line for one in asked] == [kept]


def test_completion_knows_the_words_of_a_setting(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def complete(words: str) -> list[str]:
        monkeypatch.setenv("_FOURWAYS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"fourways {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
        with pytest.raises(SystemExit):
            app.main([])
        return re.findall(r"plain,(\S+)", capfd.readouterr().out)

    assert complete("bench --transport gr") == ["grpc"]
    assert complete("bench --transport rest,gr") == ["rest,grpc"]
    assert complete("bench --ra") == ["--rate", "--raw"]
    assert "selftest" in complete("harness self")


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["--version"])
    assert ended.value.code == ExitCode.OK
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert capsys.readouterr().out == f"fourways {project['version']}\n"


def test_no_file_names_a_module_that_does_nothing_by_itself() -> None:
    """`python -m MODULE` in a docstring names a module that can be run."""
    for folder in ("bench", "shop", "transports", "scenarios"):
        for path in (ROOT / folder).rglob("*.py"):
            for module in re.findall(
                r"python3? -m ((?:bench|shop|transports|scenarios)[a-z_.]*)", path.read_text("utf-8")
            ):
                place = ROOT / module.replace(".", "/")
                file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
                text = file.read_text("utf-8")
                assert file.name == "__main__.py" or "__main__" in text, (path, module)
