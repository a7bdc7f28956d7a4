"""Tests that what is typed to make reaches the program as text, and that no shell and no make reads it."""

import os
import subprocess
from pathlib import Path

import pytest

from bench.paths import ROOT
from tests.system.command_line import find_code

pytestmark = pytest.mark.slow

TEXTS = (
    "it's; touch {flag}; '",
    '"; touch {flag}; "',
    "`touch {flag}`",
    "$(touch {flag})",
    "$(shell touch {flag})",
    "$(error stopped)",
    "$(value HOME)",
    "${{HOME}} $HOME $$HOME",
    "two\nlines; touch {flag}",
    "back\\slash\\",
    "# no comment",
    "Ünïcode → 語",
    "* ? ~ ! & | < > % = :",
    "-rf --help",
)


def make(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs make in the checkout, with nothing of what a make above this one has set."""
    around = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ASKED_"))}
    return subprocess.run(
        ["make", *words],
        cwd=ROOT,
        env=around | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_typed_arrives_as_text_and_nothing_of_it_runs(text: str, tmp_path: Path) -> None:
    typed = text.format(flag=tmp_path / "flag")
    report = make("report", f"RUN={typed}", f"OUT={typed}", f"RESULTS={typed}")
    assert (report.returncode, report.stdout) == (2, "")
    assert f"there is no run {typed!r};" in report.stderr
    assert f"in {' '.join(typed.split())};" in report.stderr
    assert "Error 2" in report.stderr
    compare = make("compare", f"A={typed}", "B=default")
    assert (compare.returncode, find_code(compare.stderr)) == (2, "unknown-run")
    assert f"there is no run {typed!r};" in compare.stderr
    bench = make("bench", f"TRANSPORT={typed}", f"RESULTS={typed}", f"STATE={typed}")
    assert (bench.returncode, find_code(bench.stderr)) == (2, "unknown-transport")
    assert repr(typed.lower()) in bench.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", TEXTS)
def test_the_environment_arrives_as_text_and_nothing_of_it_runs(text: str, tmp_path: Path) -> None:
    typed = text.format(flag=tmp_path / "flag")
    done = make("bench", TRANSPORT=typed)
    assert (done.returncode, find_code(done.stderr)) == (2, "unknown-transport")
    assert repr(typed.lower()) in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", TEXTS)
def test_a_python_that_is_not_there_is_named_and_nothing_of_it_runs(text: str, tmp_path: Path) -> None:
    """In a checkout without .venv, where set-up takes the Python that was typed."""
    checkout, typed = tmp_path / "checkout", text.format(flag=tmp_path / "flag")
    checkout.mkdir()
    for name in ("fourways", "Makefile"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
        (checkout / name).chmod(0o755)
    done = make("-C", str(checkout), "setup", f"PYTHON={typed}")
    assert (done.returncode, find_code(done.stderr)) == (2, "no-python")
    assert typed in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["checkout"]


def test_a_setting_of_the_environment_is_refused_by_its_name() -> None:
    done = make("bench", RATE="zz")
    assert (done.returncode, find_code(done.stderr)) == (2, "bad-numbers")
    assert "RATE" in done.stderr


def test_a_setting_that_is_typed_stands_above_the_environment() -> None:
    done = make("bench", "RATE=zz", "CODEC=", RATE="300", CODEC="json")
    assert (done.returncode, find_code(done.stderr)) in {(2, "bad-numbers"), (2, "empty-setting")}


def test_an_empty_setting_starts_nothing() -> None:
    for word in ("TRANSPORT=", "RUN=", "RATE= "):
        done = make("show" if word == "RUN=" else "bench", word)
        assert (done.returncode, find_code(done.stderr)) == (2, "empty-setting")
        assert word.partition("=")[0] in done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [("floor", "baseline"), ("witness", "crosscheck"), ("cold", "connections"), ("cold ROUNDS=1", "connections")],
)
def test_an_old_target_is_refused_with_the_new_word(old: str, new: str) -> None:
    done = make(*old.split())
    assert (done.returncode, find_code(done.stderr)) == (2, "renamed-command")
    assert new in done.stderr


@pytest.mark.parametrize(
    ("old", "new"), [("HOPS=1", "TRACE_EVERY"), ("TRACE=f", "REPLAY"), ("PRODUCT=kafka", "BACKEND")]
)
def test_an_old_setting_is_refused_with_the_new_word(old: str, new: str) -> None:
    done = make("bench", old)
    assert (done.returncode, find_code(done.stderr)) == (2, "renamed-setting")
    assert new in done.stderr


@pytest.mark.parametrize("text", ["-c 'touch {flag}'", "", "-ec"])
def test_the_flags_of_the_shell_are_refused_and_run_nothing(text: str, tmp_path: Path) -> None:
    done = make("show", f".SHELLFLAGS={text.format(flag=tmp_path / 'flag')}")
    assert (done.returncode, find_code(done.stderr)) == (2, "unknown-setting")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["v", ".-name", "TYPED", "TARGETS", "SHELL", ".VARIABLES", ".DEFAULT_GOAL", "MAKEOVERRIDES"],
)
def test_a_name_that_the_makefile_or_make_uses_is_no_setting(name: str) -> None:
    done = make("show", f"{name}=1")
    assert (done.returncode, find_code(done.stderr)) == (2, "unknown-setting")
    assert name.upper().replace("-", "_") in done.stderr


@pytest.mark.parametrize("word", ["A B=1", "A#B=1", "bnech", "$(error x)", "define X=1"])
def test_a_word_that_is_no_target_and_no_setting_ends_make_before_the_targets_run(word: str) -> None:
    done = make("help", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert "[unknown-command]" in done.stderr
