"""Tests with which Python ./fourways makes .venv, over interpreters that only note what they are asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.paths import ROOT

pytestmark = pytest.mark.slow

FAKE = """#!/bin/bash
echo "$(basename "$0") $*" >>"$NOTED"
case "$*" in
  *version_info*) if [[ -n ${OLD:-} && $(basename "$0") == python3 ]]; then exit 1; fi ;;
  *bench.cli.precheck*) if [[ -n ${TYPO:-} ]]; then exit "$TYPO"; fi ;;
  *pythons.py) if [[ -n ${NONE:-} ]]; then exit 3; fi; echo "$BEST" ;;
  "-m venv --clear -- "*) mkdir -p "${@: -1}/bin"; rm -f "${@: -1}/.ready"; cp "$0" "${@: -1}/bin/python" ;;
esac
"""


class Checkout:
    """A checkout with the script alone, and the Pythons first, best and other."""

    def __init__(self, folder: Path) -> None:
        self.root, self.noted = folder / "a checkout", folder / "noted"
        self.root.mkdir()
        (folder / "bin").mkdir()
        shutil.copy(ROOT / "fourways", self.root)
        for name in ("requirements.lock", "pyproject.toml"):
            (self.root / name).touch()
            os.utime(self.root / name, (1, 1))
        for name in ("python3", "best", "other"):
            (folder / "bin" / name).write_text(FAKE)
            (folder / "bin" / name).chmod(0o755)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.env = {"PATH": path, "NOTED": str(self.noted), "BEST": str(folder / "bin" / "best")}

    def run(self, **env: str) -> tuple[int, list[str]]:
        """Runs ./fourways; returns its code, and which Python made a .venv or ran the command."""
        self.noted.write_text("")
        done = subprocess.run([self.root / "fourways", "doctor"], env=self.env | env, capture_output=True, check=False)
        lines = self.noted.read_text().splitlines()
        return done.returncode, [line.split(" ")[0] for line in lines if "-m venv" in line or "-m bench " in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_best_python_makes_the_venv_and_later_runs_set_nothing_up(checkout: Checkout) -> None:
    assert checkout.run() == (0, ["best", "python"])
    assert checkout.run() == (0, ["python"])


@pytest.mark.parametrize("by", ["PYTHON", "ASKED_PYTHON"])
def test_the_python_that_is_named_decides_and_makes_the_venv_anew_once(by: str, checkout: Checkout) -> None:
    checkout.run()
    assert checkout.run(**{by: "other"}) == (0, ["other", "python"])
    assert checkout.run(**{by: "other"}) == (0, ["python"])
    assert checkout.run() == (0, ["python"])


def test_a_newer_lock_keeps_the_python_of_the_venv(checkout: Checkout) -> None:
    checkout.run(PYTHON="other")
    os.utime(checkout.root / "requirements.lock", (2**32, 2**32))
    assert checkout.run() == (0, ["python"])


@pytest.mark.parametrize("interrupted", ["venv", "pip"])
def test_an_interrupted_set_up_begins_anew(interrupted: str, checkout: Checkout) -> None:
    checkout.run()
    (checkout.root / ".venv" / ".ready").unlink()
    if interrupted == "venv":
        (checkout.root / ".venv" / "bin" / "python").unlink()
    assert checkout.run() == (0, ["best", "python"])
    assert checkout.run() == (0, ["python"])


def test_a_venv_that_is_a_link_is_left_alone(checkout: Checkout) -> None:
    checkout.run()
    (checkout.root / ".venv" / ".ready").unlink()
    (checkout.root / ".venv").rename(checkout.root / "of another")
    (checkout.root / ".venv").symlink_to("of another")
    assert checkout.run() == (0, ["python"])


@pytest.mark.parametrize("ready", [True, False])
def test_clean_removes_the_venv_of_an_interrupted_set_up_too(ready: bool, checkout: Checkout) -> None:
    checkout.run()
    shutil.copy(ROOT / "Makefile", checkout.root)
    if not ready:
        (checkout.root / ".venv" / ".ready").unlink()
    checkout.noted.write_text("")
    clean = ["make", "-C", str(checkout.root), "clean"]
    assert subprocess.run(clean, env=checkout.env, capture_output=True, check=False).returncode == 0
    assert checkout.noted.read_text().splitlines() == (["python -m bench down"] if ready else [])
    assert not (checkout.root / ".venv").exists()


def test_where_no_python_can_be_used_nothing_is_made(checkout: Checkout) -> None:
    assert checkout.run(NONE="1") == (3, [])
    assert not (checkout.root / ".venv").exists()


def test_a_typo_is_told_before_pythons_are_looked_for(checkout: Checkout) -> None:
    assert checkout.run(TYPO="2") == (2, [])
    asked = checkout.noted.read_text().splitlines()
    assert [line for line in asked if "precheck" in line] == ["python3 -m bench.cli.precheck doctor"]
    assert not [line for line in asked if "pythons.py" in line]


def test_help_before_set_up_is_an_answer(checkout: Checkout) -> None:
    assert checkout.run(TYPO="100") == (0, [])
    assert not (checkout.root / ".venv").exists()


def test_a_python_that_is_too_old_leaves_the_check_to_the_best(checkout: Checkout) -> None:
    assert checkout.run(TYPO="2", OLD="1") == (2, [])
    checked = [line for line in checkout.noted.read_text().splitlines() if "precheck" in line]
    assert checked == ["best -m bench.cli.precheck doctor"]
    assert checkout.run(OLD="1") == (0, ["best", "python"])


def test_a_python_that_is_not_there_is_refused(checkout: Checkout) -> None:
    assert checkout.run(PYTHON="python9") == (3, [])


def test_a_program_that_is_no_python_of_today_is_refused(checkout: Checkout) -> None:
    assert checkout.run(PYTHON="python3", OLD="1") == (3, [])
    assert not (checkout.root / ".venv").exists()
