"""Tests how settings are read from flags, from KEY=VALUE words and from make."""

import shlex
import subprocess
import sys

import pytest

from bench.cli import app, platforms
from bench.cli.arguments import (
    SERVERS,
    Asked,
    forget_make,
    pairs_from_make,
    read_words,
    spell_flags,
    split_pair,
    split_words,
)
from bench.cli.commands import COMMANDS, Command, find_command
from bench.errors import ExitCode, UsageError
from bench.paths import ROOT
from bench.provision import postgres
from bench.provision.brokers import URL_VARIABLES
from bench.results.setting_names import RENAMED
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS
from tests.unit.cli.conftest import Refused, Runner


def full_name(command: Command) -> str:
    return f"harness {command.name}" if command.harness else command.name


def words_of(line: str, command: str = "bench") -> dict[str, str]:
    found = find_command(tuple(command.split()))
    assert found is not None
    return read_words(found, map(split_pair, spell_flags(shlex.split(line))))[0]


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
@pytest.mark.parametrize("form", ["{}Z=3", "--{}z 3", "--{}Z=3"])
def test_a_misspelt_setting_ends_every_command_with_the_nearest_word(
    refused: Runner, command: Command, form: str
) -> None:
    name = max(command.settings, key=len)
    done = refused(f"{full_name(command)} {form.format(name)}")
    assert (done.exit_code, done.code) == (ExitCode.USAGE, "unknown-setting")
    assert repr(f"{name}Z") in done.sentence
    assert f"did you mean {name!r}" in done.sentence


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
@pytest.mark.parametrize(
    ("word", "code"), [("QXJVK=3", "unknown-setting"), ("default", "no-setting"), ("-x", "bad-flag")]
)
def test_a_word_that_is_like_no_setting_ends_every_command(
    refused: Runner, command: Command, word: str, code: str
) -> None:
    assert refused(f"{full_name(command)} {word}") == Refused(ExitCode.USAGE, code)


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
def test_an_empty_setting_ends_every_command(command: Command) -> None:
    for name in command.settings:
        with pytest.raises(UsageError) as raised:
            read_words(command, [(name, " ")])
        assert raised.value.code == "empty-setting"
        assert name in str(raised.value)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
@pytest.mark.parametrize("form", ["{}=1", "--{} 1", "{}="])
def test_an_old_name_is_refused_with_the_new_one(refused: Runner, old: str, new: str, form: str) -> None:
    done = refused(f"bench {form.format(old.lower())}")
    assert done == Refused(ExitCode.USAGE, "renamed-setting")
    assert new in done.sentence


@pytest.mark.parametrize(
    "line", ["RATE=3 RATE=4", "RATE=3 --rate 3", "rate=3 RATE=3", "PAYLOAD=1kB SIZE=1kB", "--size 1kB --payload 1kB"]
)
def test_a_setting_that_is_given_twice_is_refused(refused: Runner, line: str) -> None:
    assert refused(f"bench {line}") == Refused(ExitCode.USAGE, "setting-twice")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RATE=300", {"RATE": "300"}),
        ("--rate 300", {"RATE": "300"}),
        ("--rate=300", {"RATE": "300"}),
        ("--Rate=300", {"RATE": "300"}),
        ("rate=300", {"RATE": "300"}),
        ("warm-up=1s", {"WARM_UP": "1s"}),
        ("--warm-up 1s", {"WARM_UP": "1s"}),
        ("--WARM_UP 1s", {"WARM_UP": "1s"}),
        ("SIZE=1kB FORMAT=json METHOD=rest", {"PAYLOAD": "1kB", "CODEC": "json", "TRANSPORT": "rest"}),
        ("--size 1kB --format=json --method rest", {"PAYLOAD": "1kB", "CODEC": "json", "TRANSPORT": "rest"}),
        ("'RATE= 300 '", {"RATE": "300"}),
        ("CLIENT=rest:httpx", {"CLIENT": "rest:httpx"}),
        ("PROFILE=a=b", {"PROFILE": "a=b"}),
        ("SECURITY=none,mtls PAYLOAD=200,1KiB", {"SECURITY": "none,mtls", "PAYLOAD": "200,1KiB"}),
    ],
)
def test_flags_words_case_hyphens_and_synonyms_mean_the_same(line: str, words: dict[str, str]) -> None:
    assert words_of(line) == words


def test_advise_has_its_own_words_and_understands_those_of_a_profile() -> None:
    assert words_of("PAYLOAD=1kB --codec json", "advise") == {"SIZE": "1kB", "FORMAT": "json"}
    assert words_of("SIZE=1kB FORMAT=json", "advise") == {"SIZE": "1kB", "FORMAT": "json"}


@pytest.mark.parametrize("form", ["--{}={}", "--{} {}", "{}={}"])
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DURATION", "10s", 10.0),
        ("DURATION", "1m", 60.0),
        ("DURATION", "500ms", 0.5),
        ("duration", "5MS", 0.005),
        ("PAYLOAD", "1KiB", 1024),
        ("PAYLOAD", "1kb", 1000),
        ("payload", "200", 200),
        ("RATE", "150/s", (150.0,)),
        ("RATE", "100,50/s", (50.0, 100.0)),
        ("SLO", "0.1s", 100.0),
        ("SLO", "100", 100.0),
        ("COMPRESSIBLE", "50%", 0.5),
        ("CONNECTIONS", "Yes", True),
        ("RAW", "off", False),
        ("TRANSPORT", "Kafka,HTTP", ("events", "rest")),
        ("CODEC", "Proto", "protobuf"),
        ("SECURITY", "TLS", "tls"),
    ],
)
def test_units_and_the_words_that_people_use_are_understood(form: str, name: str, text: str, value: object) -> None:
    command = find_command(("bench",))
    assert command is not None
    words = words_of(form.format(name, text))
    assert Asked(command=command, words=words).value(name.upper()) == pytest.approx(value)


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
def test_every_default_is_a_value_of_its_setting(command: Command) -> None:
    asked = Asked(command=command)
    for name, spec in command.settings.items():
        if spec.default is not None and spec.kind != "clients":
            assert asked.value(name) is not None


@pytest.mark.parametrize("name", [name for name, spec in SETTINGS.items() if spec.choices])
def test_a_word_that_is_no_choice_gets_the_nearest(refused: Runner, name: str) -> None:
    choice = max(SETTINGS[name].choices, key=len)
    done = refused(f"bench {name}={choice}x")
    assert done.exit_code == ExitCode.USAGE
    assert done.code.startswith("unknown-")
    assert repr(choice) in done.sentence


@pytest.mark.parametrize(
    ("line", "code", "near"),
    [
        ("harness sefltest", "unknown-command", "harness selftest"),
        ("selftset", "unknown-command", "harness selftest"),
        ("harness soka", "unknown-command", "harness soak"),
        ("harness bench", "unknown-command", "fourways bench"),
        ("flooor", "unknown-command", "harness baseline"),
        ("hraness", "unknown-command", "harness"),
        ("bench TRANSPORT=kafak", "unknown-transport", "kafka"),
        ("bench TRANSPORT=htpp", "unknown-transport", "http"),
        ("bench TRANSPORT=rest,rabbitmk", "unknown-transport", "rabbitmq"),
        ("bench BACKEND=rabit", "unknown-backend", "rabbit"),
        ("harness connections COLD=1", "renamed-setting", "CONNECTIONS"),
        ("advise PRODUCT=", "renamed-setting", "BACKEND"),
    ],
)
def test_the_nearest_word_is_told(refused: Runner, line: str, code: str, near: str) -> None:
    done = refused(line)
    assert done == Refused(ExitCode.USAGE, code)
    assert near in done.sentence


def test_servers_are_taken_where_a_command_uses_them(refused: Runner) -> None:
    bench, show = find_command(("bench",)), find_command(("show",))
    assert bench is not None
    assert show is not None
    pairs = [
        ("RABBITMQ_URL", "amqp://h"),
        ("kafka_bootstrap", "h:1"),
        ("KEYS", "k"),
        ("RATE", "3"),
    ]
    servers = {"RABBITMQ_URL": "amqp://h", "KAFKA_BOOTSTRAP": "h:1", "KEYS": "k"}
    assert read_words(bench, pairs) == ({"RATE": "3"}, servers)
    with pytest.raises(UsageError) as raised:
        read_words(show, pairs[:1])
    assert raised.value.code == "unknown-setting"


def test_every_server_that_can_be_given_can_be_typed() -> None:
    """The words stand where no library is imported, and the variables where servers are provided."""
    assert set(SERVERS) == {*URL_VARIABLES.values(), postgres.URL_VARIABLE, "KEYS"}


@pytest.mark.parametrize(
    ("line", "code", "near"),
    [
        ("RABITMQ_URL=x", "unknown-server", "RABBITMQ_URL"),
        ("--kafka-bootsrap x", "unknown-setting", "KAFKA_BOOTSTRAP"),
        ("FOO_BOOTSTRAP=x", "unknown-server", "KAFKA_BOOTSTRAP"),
        ("KEYZ=x", "unknown-setting", "KEYS"),
        ("RABBITMQ_URL=", "empty-setting", "RABBITMQ_URL"),
        ("KAFKA_BOOTSTRAP=' '", "empty-setting", "KAFKA_BOOTSTRAP"),
        ("KEYS=", "empty-setting", "KEYS"),
    ],
)
def test_a_server_that_is_empty_or_unknown_is_refused(refused: Runner, line: str, code: str, near: str) -> None:
    done = refused(f"bench {line}")
    assert done == Refused(ExitCode.USAGE, code)
    assert near in done.sentence


def test_an_empty_python_is_refused(refused: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKED_PYTHON", "")
    assert refused("--make bench") == Refused(ExitCode.USAGE, "empty-setting")
    assert refused("--make setup") == Refused(ExitCode.USAGE, "empty-setting")


def test_make_hands_on_what_was_typed_and_the_environment_comes_second() -> None:
    bench = find_command(("bench",))
    assert bench is not None
    environ = {"ASKED_RATE": "3", "RATE": "4", "ROUNDS": "2", "RESULTS": "of others", "HOME": "h", "ASKED_PYTHON": "p"}
    assert pairs_from_make(bench, environ) == [("RATE", "3"), ("ROUNDS", "2")]


@pytest.mark.parametrize(
    "line", ["RESULTS=/tmp/r\udcff", "--results /tmp/r\udcff", "KEYS=\udcff", "TRANSPORT=\udcff", "R\udcffTE=3"]
)
def test_bytes_that_are_not_utf8_are_refused(refused: Runner, line: str) -> None:
    assert refused(f"bench {line}") == Refused(ExitCode.USAGE, "not-utf8")


@pytest.mark.slow
def test_bytes_that_are_not_utf8_are_refused_as_they_are_typed() -> None:
    command = [sys.executable.encode(), b"-m", b"bench", b"bench", b"RESULTS=/tmp/r\xff"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, b"")
    assert b"[not-utf8]" in done.stderr


def test_what_the_makefile_gives_stands_above_what_was_typed_and_the_environment() -> None:
    setup = find_command(("setup",))
    assert setup is not None
    environ = {"ASKED_TRANSPORT": "grpc", "ASKED_STATE": "s", "TRANSPORT": "events"}
    assert pairs_from_make(setup, environ, ["TRANSPORT"]) == [("STATE", "s")]
    assert pairs_from_make(setup, {"TRANSPORT": "events"}, ["TRANSPORT"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TRANSPORT", "ASKED_TRANSPORT"])
def test_a_transport_is_no_hindrance_to_the_targets_of_developers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "grpc")
    done = before_set_up("--make setup TRANSPORT=rest")
    assert (done.returncode, done.stderr) == (0, "")
    command = [sys.executable, "-m", "bench", "--make", "setup", "TRANSPORT=rest"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_what_make_handed_on_is_not_handed_on_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKED_RATE", "3")
    monkeypatch.setenv("RATE", "4")
    forget_make(app.os.environ)
    assert {name for name in app.os.environ if name.startswith("ASKED_")} == set()
    assert app.os.environ["RATE"] == "4"


def test_an_empty_setting_of_the_environment_is_refused_by_name(
    refused: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE", "zz")
    done = refused("--make bench")
    assert done == Refused(ExitCode.USAGE, "bad-numbers")
    assert "RATE" in done.sentence
    monkeypatch.setenv("RATE", "")
    assert refused("--make bench") == Refused(ExitCode.USAGE, "empty-setting")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_setting_of_the_environment_is_refused_with_the_new_word(
    refused: Runner, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setenv(old, "1")
    done = refused("--make bench")
    assert done == Refused(ExitCode.USAGE, "renamed-setting")
    assert old in done.sentence
    assert new in done.sentence


@pytest.mark.parametrize(
    ("command", "environ"),
    [
        ("show", {"TRACE": "1", "PRODUCT": "x"}),
        ("bench", {"TRACE": ""}),
        ("bench", {"TRACE": "1", "ASKED_REPLAY": "f"}),
    ],
)
def test_an_old_name_that_asks_nothing_of_the_command_is_let_be(command: str, environ: dict[str, str]) -> None:
    found = find_command((command,))
    assert found is not None
    assert "TRACE" not in dict(pairs_from_make(found, environ))


@pytest.mark.parametrize("command", COMMANDS, ids=full_name)
def test_another_platform_is_refused_by_every_command(
    refused: Runner, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setattr(platforms.sys, "platform", "darwin")
    assert refused(full_name(command)) == Refused(ExitCode.USAGE, "no-linux")


def test_a_linux_without_what_costs_are_read_with_is_refused(refused: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(platforms.os, "sched_getaffinity")
    assert refused("doctor") == Refused(ExitCode.USAGE, "no-linux")


@pytest.mark.parametrize(("line", "code"), [("SECURITY=none,mtsl", "unknown-security"), ("PAYLOAD=1kB,0", "bad-size")])
def test_each_level_of_a_factor_is_read(refused: Runner, line: str, code: str) -> None:
    assert refused(f"study PROFILE=security {line}") == Refused(ExitCode.USAGE, code)


LINES = (
    "bench RATEZ=3",
    "bench --ratez 3",
    "bench --rate 3 RATE=3",
    "bench HOPS=1",
    "bench --hops 1",
    "bench RATE=",
    "bench --rate",
    "bench CODEC=jsn",
    "bench --size=0",
    "advise SISE=3",
    "show default",
    "harness codecs --rounds=0",
    "harness selftst",
    "selftset",
    "harness connections COLD=1",
    "harness floor",
    "floor",
    "bnech",
    "up FOO=1",
)


def before_set_up(line: str) -> "subprocess.CompletedProcess[str]":
    """Runs the check before set-up with the standard library alone: -I reads no PYTHONPATH, -S no site-packages."""
    program = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); sys.argv[1:] = {shlex.split(line)!r}\n"
    program += "runpy.run_module('bench.cli.precheck', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, encoding="utf-8", check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_the_check_before_set_up_refuses_the_same_in_the_same_words(refused: Runner, line: str) -> None:
    done, wanted = before_set_up(line), refused(line)
    assert (done.returncode, done.stderr) == (wanted.exit_code, wanted.sentence + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("line", ["bench RATE=300 --rounds 3 --json", "harness codecs --rounds 1", "--make up"])
def test_the_check_before_set_up_lets_pass_what_is_right(line: str) -> None:
    done = before_set_up(line)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("", 2, "bench"),
        ("harness", 2, "selftest"),
        ("--help", 100, "advise"),
        ("-h", 100, "harness"),
        ("harness --help", 100, "connections"),
        ("bench --help", 100, "--rate RATE,…"),
        ("harness soak -h", 100, "--orders"),
        ("--version", 100, "fourways 0."),
    ],
)
def test_the_check_before_set_up_gives_help(line: str, code: int, said: str) -> None:
    done = before_set_up(line)
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout


def test_a_setting_that_is_declared_in_one_place_is_a_flag_a_word_and_a_line_of_help(
    refused: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SettingSpec(name="PATIENCE", key="patience_s", kind="seconds", unit="s", default=2, help="how long to wait")
    monkeypatch.setitem(SETTINGS, spec.name, spec)
    assert refused("bench PATIENCE=soon") == Refused(ExitCode.USAGE, "bad-seconds")
    assert refused("web --patience=soon") == Refused(ExitCode.USAGE, "bad-seconds")
    assert refused("harness soak PATIENC=2s").sentence.startswith("no setting 'PATIENC'; did you mean 'PATIENCE'?")
    with pytest.raises(SystemExit):
        app.main(["bench", "--help"])
    assert "--patience DURATION" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "action", "pairs"),
    [
        ([], "", []),
        (["BASE=main"], "", [("BASE", "main")]),
        (["selftest"], "selftest", []),
        (["judge", "results/regress/x"], "judge", [("RUN", "results/regress/x")]),
        (["judge", "RUN=x", "RESULTS=y"], "judge", [("RUN", "x"), ("RESULTS", "y")]),
    ],
)
def test_a_command_may_have_an_action_whose_word_is_a_run(
    words: list[str], action: str, pairs: list[tuple[str, str]]
) -> None:
    command = find_command(("regress",))
    assert command is not None
    assert split_words(command, words) == (action, pairs)


@pytest.mark.parametrize("line", ["regress BASE=main judge", "regress jugde", "bench selftest"])
def test_an_action_elsewhere_or_an_unknown_one_is_no_setting(refused: Runner, line: str) -> None:
    assert refused(line) == Refused(ExitCode.USAGE, "no-setting")
