"""Runs every command in the README, the docs and the help, long ones in a short form."""

import ast
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench.cli.arguments import SERVERS, spell_flags
from bench.cli.commands import COMMANDS, RENAMED_COMMANDS, Command, find_command
from bench.provision.ports import find_free_ports
from bench.results.settings import SETTINGS
from bench.stats.summary import drop_yardsticks
from tests.system.command_line import (
    ROOT,
    SHORT_RUN,
    TIMEOUT_S,
    CommandLine,
    fetch_body,
    find_code,
    is_completed,
    wait_until,
)
from tests.unit.builders import CELLS, build_run, build_set_run

pytestmark = [pytest.mark.slow, pytest.mark.broker]

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
TARGETS = {name for rule in re.findall(r"^([a-z][a-z -]*):", MAKEFILE, re.MULTILINE) for name in rule.split()}


ELSEWHERE = ROOT / "docs" / "adding-a-transport.md"
"""Its commands need a transport installed beside Fourways: tests/plugin installs one and runs what they run."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|((?:^    [^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(\w+=\S+ )*(make|\./fourways|java|python3?|curl|wrk|git|cd|docker|\.venv/\S+) ")
_MAKE = re.compile(r"`make ([a-z][a-z-]*)((?: \w+=\S*?)*)[ …]*`")


def blocks(kind: str) -> Iterator[str]:
    """The fenced blocks of this kind on the pages; "" for those of no kind and for the indented ones."""
    for page in (page for page in PAGES if page != ELSEWHERE):
        for fenced, content, indented in _BLOCK.findall(page.read_text("utf-8")):
            if fenced == kind:
                yield content or indented


def commands() -> list[str]:
    """Every command that a page shows in a block of its own, once."""
    lines = "\n".join(blocks("")).replace("\\\n", " ").splitlines()
    return list(dict.fromkeys(shlex.join(shlex.split(line)) for line in lines if _COMMAND.match(line.strip() + " ")))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Where a short run over REST has left its results."""
    house = CommandLine(tmp_path_factory.mktemp("measured"), {})
    done = house.done(house.make("bench", "TRANSPORT=rest", "TRACE_EVERY=1", *SHORT_RUN))
    assert is_completed(done), done.stdout + done.stderr
    return house


def bench(house: CommandLine, words: list[str]) -> None:
    asked = {word.partition("=")[0] for word in words}
    # A limit that a busy machine keeps too.
    words = ["THRESHOLDS=p50<60s" if word.startswith("THRESHOLDS=") else word for word in words]
    short = [setting for setting in SHORT_RUN if setting.partition("=")[0] not in asked - {"ROUNDS"}]
    if "PAYLOAD" in asked:  # as few orders as a busy machine carries of any size
        short = ["RATE=10" if setting.startswith("RATE=") else setting for setting in short]
    whole = words == ["bench"]
    if whole or asked & {"SLICE", "YARDSTICK"}:  # slices have their own length
        short = [*(setting for setting in short if not setting.startswith(("DURATION=", "RATE="))), "SLICES=1"]
    done = house.done(house.make(*words, *short, *(["REPORT=yes"] if whole else [])))
    assert is_completed(done), done.stdout + done.stderr
    trials = house.open_latest_run().trials()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert "bare-rest" in set(trials["cell"]) or not (whole or asked & {"SLICE", "YARDSTICK"})
    trials = drop_yardsticks(trials)
    assert (trials["planned"] == trials["sent"] + trials["not_sent"]).all()
    assert (trials["sent"] == trials["finished"] + trials["failed"] + trials["unfinished"]).all()
    assert (trials["finished"] == trials["shipped"] + trials["rejected"]).all()
    if whole:
        assert (house.results / "latest" / "charts" / "latency.png").is_file()
        assert "moderated by the kept bank" in " ".join(done.stdout.split())  # so that one set has intervals
        assert list(trials["cell"]) == ["rest", "grpc", "grpc+json", "broker", "events"]
        assert trials["plan_hash"].nunique() == 1
    for word in words:
        if word.startswith("TRANSPORT="):
            assert set(trials["transport"]) == set(word.removeprefix("TRANSPORT=").split(","))
    assert house.processes() == []


def web(house: CommandLine, words: list[str]) -> None:
    (port,) = find_free_ports(1)
    with house.started(house.make(*words, f"WEB_PORT={port}")) as process:
        wait_until(lambda: fetch_body(f"http://127.0.0.1:{port}") or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "stopped; nothing is left running" in out, out
    assert house.processes() == []


def shortest(*settings: str) -> Callable[[CommandLine, list[str]], None]:
    """A target that ends by itself, with these settings."""

    def run(house: CommandLine, words: list[str]) -> None:
        done = house.done(house.make(*words, *settings))
        assert is_completed(done), done.stdout + done.stderr
        assert house.processes() == []

    return run


LEVELS = {
    "capacity": "TRANSPORT=memory RATE=12800 DURATION=0.3",
    "size": "TRANSPORT=rest PAYLOAD=200B,1KiB SHAPE=document DURATION=2",
    "format": "TRANSPORT=memory PAYLOAD=1KiB CODEC=json,protobuf",
    "frequency": "TRANSPORT=memory RATE=100 BURST_PERIOD=0.5",
    "outage": "TRANSPORT=rest FAULT=stop-payment DURATION=2 FAULT_AT=0.5 FAULT_FOR=0.5",
    "processes": "TRANSPORT=rest RATE=100",
    "security": "TRANSPORT=rest SECURITY=none,mtls",
    "durability": "TRANSPORT=rest STORE=sqlite",
    "products": "TRANSPORT=broker RATE=60 DURABILITY=fast BROKER_WARM_UP=0 DEADLINE=10",
    "clients": "TRANSPORT=rest CLIENT=httpx,aiohttp",
}
"""Of each study, a few in little time."""


def study(house: CommandLine, words: list[str]) -> None:
    (profile,) = (word.removeprefix("PROFILE=") for word in words if word.startswith("PROFILE="))
    named = {word.partition("=")[0] for word in words}
    picked = [word for word in LEVELS[profile].split() if word.partition("=")[0] not in named]
    shortest("REPORT=no", "DURATION=1", "WARM_UP=0", "ROUNDS=1", "DEADLINE=3", *picked)(house, words)


def this_is_it(house: CommandLine, words: list[str]) -> None:
    """`make test` is what runs this; that it would run everything is what can be said of it."""
    *_, tests, counts = house.done([*house.make(*words), "--dry-run"]).stdout.splitlines()
    assert re.fullmatch(
        r"\.venv/bin/python -m pytest -n \d --dist loadfile --no-loadscope-reorder -m 'not nightly'", tests
    )
    assert counts == "./fourways regress selftest && ./fourways regress parent"


def up_and_down(house: CommandLine, words: list[str]) -> None:
    try:
        assert house.done(house.make(*words)).returncode == 0
    finally:
        assert house.done(house.make("down")).returncode == 0
    assert house.processes() == []


def compare(house: CommandLine, words: list[str]) -> None:
    """Made-up runs stand for the kept one and for the reader's own, which on a busy machine would be invalid."""
    kept = build_run(house.results.parent / "kept").path
    build_run(house.results)
    shortest()(house, [f"A={kept}" if word.startswith("A=") else word for word in words])


def noise(house: CommandLine, words: list[str]) -> None:
    """A made-up run stands for the kept one, beside which the command writes."""
    arms = {f"rest@{arm}": CELLS["rest"] for arm in "ab"}
    run = build_set_run(house.results.parent / "arms", sets=13, cells=arms).path
    shortest()(house, [f"RUN={run}" if word.startswith("RUN=") else word for word in words])
    assert (run / "noise.csv").is_file()


def regress(house: CommandLine, words: list[str]) -> None:
    """A commit beside itself, since the newest one may well take more than the one before."""
    asked = ("BASE=HEAD", "HEAD=HEAD", "TRANSPORT=memory")
    if actions := [word for word in words if word in ("remember", "history")]:
        shortest(*asked, "BUDGET=0")(house, ["regress"])
        for action in dict.fromkeys(("remember", *actions)):
            assert house.done(house.fourways("regress", action)).returncode == 0
        return
    kept = [word for word in words if word.partition("=")[0] not in ("BASE", "HEAD", "TRANSPORT")]
    shortest(*asked)(house, kept)


def report(house: CommandLine, words: list[str]) -> None:
    words = [word for word in words if word.partition("=")[0] not in ("RUN", "OUT")]
    out = house.results.parent / "page"
    done = house.done(house.make(*words, "RUN=results/reference/default", f"OUT={out}"))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"report.html", "report.md", "charts"}


def look(house: CommandLine, words: list[str]) -> None:
    """A kept run stands for the reader's own."""
    shortest()(house, [word.replace("RUN=latest", "RUN=default") for word in words])


HOW: Mapping[str, Callable[[CommandLine, list[str]], None]] = {
    "bench": bench,
    "web": web,
    "test": this_is_it,
    "up": up_and_down,
    "baseline": shortest("TRANSPORT=rest", "ROUNDS=1", "SECONDS_EACH=1", "ORDERS=100"),
    "connections": shortest("TRANSPORT=rest", "ROUNDS=1", "SECURITY=none"),
    "codecs": shortest("ROUNDS=1"),
    "report": report,
    "soak": shortest("TRANSPORT=rest", "ORDERS=1000"),
    "study": study,
    "advise": shortest(),
    "pros": shortest(),
    "compare": compare,
    "noise": noise,
    "regress": regress,
    "export": shortest(),
    "show": look,
    "hops": look,
    "health": look,
    "overhead": shortest("SECONDS_EACH=0.5", "ROUNDS=1", "PAIRS=1"),
    "selftest": shortest("ONLY=50 orders"),
    "setup": shortest(),
    "check": shortest(),
    "down": shortest(),
    "doctor": shortest(),
    "help": shortest(),
}


def ours() -> list[str]:
    """Commands of make and of the script ./fourways."""
    return [command for command in commands() if command.startswith(("make ", "./fourways "))]


IN_TEST = ("capacity", "size", "outage")
"""A search, a design and a fault. Studies of other profiles go the same way as size, and wait for `make nightly`."""


def in_tiers(commands: list[str]) -> list[object]:
    """The commands as parameters, with the marker of those that `make test` leaves out."""
    left_out = [command for command in commands if " study " in command and not command.endswith(IN_TEST)]
    return [pytest.param(one, marks=[pytest.mark.nightly] if one in left_out else [], id=one) for one in commands]


@pytest.mark.parametrize("command", in_tiers(ours()))
def test_a_command_of_the_pages_does_what_it_says(
    house: CommandLine, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = shlex.split(command)
    words = spell_flags(words)
    assert words[0] in TARGETS, f"there is no `{command}`"
    if program == "./fourways":
        monkeypatch.setattr(house, "make", house.script)
    HOW[words[0]](house, words)


@pytest.mark.parametrize("command", [command for command in commands() if command not in ours()])
def test_another_command_of_the_pages_works_on_a_run(measured: CommandLine, command: str) -> None:
    words = [word.replace("results/latest", str(measured.results / "latest")) for word in shlex.split(command)]
    done = measured.done(words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("script", list(blocks("python")))
def test_a_script_of_the_pages_works_on_a_run(
    measured: CommandLine, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.chdir(measured.results.parent)
    names: dict[str, object] = {}
    for statement in ast.parse(script).body:
        if isinstance(statement, ast.Expr):
            given = eval(compile(ast.Expression(statement.value), "page", "eval"), names)
            assert len(given), ast.unparse(statement)
        else:
            exec(compile(ast.Module([statement], []), "page", "exec"), names)


def test_the_two_commands_are_on_the_first_page() -> None:
    assert {"make bench", "make test"} <= set(ours())


TEXTS = (*PAGES, ROOT / "Makefile", ROOT / "results" / "README.md", *ROOT.glob("bench/**/*.py"))
NAMING = [path for path in TEXTS if _MAKE.search(path.read_text("utf-8"))]


def settings_of(target: str) -> set[str]:
    """The settings that `make target` takes; none where no command does its work."""
    command = find_command((target,)) or find_command(("harness", target))
    return {*command.settings, *(SERVERS if command.servers else ())} if command else set()


@pytest.mark.parametrize("path", NAMING, ids=lambda path: path.name)
def test_every_make_that_a_text_names_exists_with_its_settings(path: Path) -> None:
    for target, settings in _MAKE.findall(path.read_text("utf-8")):
        assert target in TARGETS, f"`make {target}`"
        assert set(re.findall(r"(\w+)=", settings)) <= settings_of(target), f"`make {target}{settings}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.])((?:docs|scenarios|bench|transports|shop|tests)/[\w./-]*\w)", page.read_text("utf-8")
    )
    missing = [name for name in named if not re.search("[A-Z]{3}", name) and not (ROOT / name).exists()]
    assert not missing


def test_make_help_names_every_target_that_says_what_it_is_for(house: CommandLine) -> None:
    done = house.done(house.make("help"))
    assert done.returncode == 0
    told = {
        word for line in re.findall(r"^  make ([a-z -]+?)(?:  |$)", done.stdout, re.MULTILINE) for word in line.split()
    }
    assert told == TARGETS - RENAMED_COMMANDS.keys()


def test_every_target_is_phony_since_none_makes_a_file() -> None:
    (declared,) = re.findall(r"^override TARGETS := (.*)$", MAKEFILE, re.MULTILINE)
    assert set(declared.split()) == TARGETS
    assert re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE) == ["$(TARGETS)"]


def test_every_command_is_a_target() -> None:
    assert {command.name for command in COMMANDS} <= TARGETS


@pytest.mark.parametrize(("typed", "meant"), [("TRANSPROT=grpc", "TRANSPORT"), ("CIPHER=foo", "")])
def test_what_is_typed_and_no_setting_is_refused_by_its_name(house: CommandLine, typed: str, meant: str) -> None:
    done = house.done(house.make("bench", typed))
    (said, _) = done.stderr.splitlines()  # and make's own
    assert (done.returncode, find_code(done.stderr)) == (2, "unknown-setting")
    assert repr(typed.partition("=")[0]) in said
    assert meant in said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_names_only_makes_and_settings_that_exist(house: CommandLine, command: Command) -> None:
    house.env["COLUMNS"] = "300"
    words = ("harness", command.name) if command.harness else (command.name,)
    done = house.done([sys.executable, "-m", "bench", *words, "--help"])
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"`make ([a-z-]+)", done.stdout)) <= TARGETS
    assert set(re.findall(r"\b([A-Z_]+)=[^V]", done.stdout)) <= {*SETTINGS, *command.settings}
    assert all((ROOT / name).exists() for name in re.findall(r"\b(?:docs|scenarios)/[\w./]*\w", done.stdout))


def test_ci_runs_the_readmes_test_command() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
