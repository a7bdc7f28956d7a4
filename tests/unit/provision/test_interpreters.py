"""Tests the names of interpreters, and how an environment of one is made."""

import asyncio
import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.errors import OperationFailed
from bench.paths import ROOT
from bench.provision import interpreters, pythons
from bench.provision.base import Unavailable
from bench.provision.interpreters import (
    Interpreter,
    choose_interpreters,
    environment_folder,
    make_environment,
    provide_interpreters,
)
from bench.provision.pythons import rank
from tests.unit.provision.test_pythons import a_python

NAME, PYTHON = "3.12.1+pgo", a_python((3, 12, 1))
FACTS = {"version": "3.12.1", "pgo": True, "object_code_ns": 3000}


def test_there_is_one_for_each_minor_version_and_build_and_the_oldest_comes_first() -> None:
    here = rank(
        [
            a_python((3, 13, 0), pgo=False),
            a_python((3, 11, 2)),
            a_python((3, 11, 7), pgo=False),
            a_python((3, 12, 1)),
            a_python((3, 12, 9)),
            a_python((3, 12, 10), lto=False),
        ]
    )
    assert list(choose_interpreters(here, "")) == ["3.11.2+pgo", "3.11.7", "3.12.10+pgo", "3.13.0"]


def test_the_harnesss_own_stands_for_its_version_and_build() -> None:
    here = rank([a_python((3, 12, 1)), a_python((3, 12, 9))])
    assert list(choose_interpreters(here, "/pythons/3.12.1")) == ["3.12.1+pgo"]


def test_what_cannot_be_used_or_has_no_packages_is_none() -> None:
    here = rank([a_python((3, 11, 2), unusable="it has no venv"), a_python((3, 15, 0), supported=False)])
    assert choose_interpreters(here, "") == {}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_another_lock_or_another_entry_point_is_another_environment(checkout: Path, changed: str) -> None:
    before = environment_folder(checkout, checkout, NAME, PYTHON)
    (checkout / changed).write_text("changed")
    after = environment_folder(checkout, checkout, NAME, PYTHON)
    assert before != after
    assert {before.parent, after.parent} == {checkout / "python"}
    assert {place.name.rpartition("-")[0] for place in (before, after)} == {NAME}


def test_another_checkout_or_another_file_of_the_same_version_is_another_environment(checkout: Path) -> None:
    other = shutil.copytree(checkout, checkout.with_name("other"))
    elsewhere = PYTHON._replace(path="/elsewhere/python3.12")
    places = {
        environment_folder(checkout, folder, NAME, python)
        for folder in (checkout, other)
        for python in (PYTHON, elsewhere)
    }
    assert len(places) == 4


class Installer:
    """Stands for venv and pip: notes what was run, and makes the folder that venv would."""

    def __init__(self, fails_at: str = "") -> None:
        self.ran: list[tuple[str, ...]] = []
        self._fails_at = fails_at

    async def __call__(self, program: Path, *arguments: str, lock: int | None = None) -> bytes:
        self.ran.append((str(program), *arguments))
        if "venv" in arguments:
            Path(arguments[-1]).mkdir()
        if self._fails_at and self._fails_at in arguments:
            raise OperationFailed("no matching distribution", code="no-environment")
        return json.dumps(FACTS).encode() if "--facts" in arguments else b""


Install = Callable[[Installer], Installer]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.setattr(interpreters, "find_interpreters", lambda: {NAME: PYTHON})

    def use(installer: Installer) -> Installer:
        monkeypatch.setattr(interpreters, "_run", installer)
        return installer

    return use


async def make(checkout: Path) -> Path:
    return await make_environment(NAME, PYTHON, home=checkout, checkout=checkout, say=lambda _: None)


async def test_an_environment_is_made_by_its_interpreter_from_hashes_and_with_the_checkout(
    checkout: Path, install: Install
) -> None:
    installer = install(Installer())
    program = await make(checkout)
    place = environment_folder(checkout, checkout, NAME, PYTHON)
    assert program == place / "bin" / "python"
    assert installer.ran[0][0] == PYTHON.path
    pip = [line for line in installer.ran if "pip" in line]
    assert [line[-1] for line in pip] == [str(checkout / "requirements.lock"), str(checkout)]
    assert "--require-hashes" in pip[0]
    assert "-e" in pip[1]


async def test_one_that_is_there_is_used_as_it_is(checkout: Path, install: Install) -> None:
    first = await make_once(checkout, install)
    installer = install(Installer())
    assert await make(checkout) == first
    assert installer.ran == []


async def make_once(checkout: Path, install: Install) -> Path:
    install(Installer())
    return await make(checkout)


async def test_a_half_made_one_is_made_again(checkout: Path, install: Install) -> None:
    place = environment_folder(checkout, checkout, NAME, PYTHON)
    half = place.with_name(f"{place.name}.new")
    half.mkdir(parents=True)
    (half / "left").touch()
    install(Installer())
    await make(checkout)
    assert place.is_dir()
    assert not (place / "left").exists()
    assert not half.exists()


@pytest.mark.parametrize("step", ["venv", "--require-hashes", "-e"])
async def test_one_whose_packages_cannot_be_installed_leaves_nothing_and_says_why(
    checkout: Path, install: Install, step: str
) -> None:
    install(Installer(fails_at=step))
    found = await provide_interpreters([NAME], home=checkout, checkout=checkout, say=lambda _: None)
    one = found[NAME]
    assert isinstance(one, Unavailable)
    assert "no matching distribution" in one.why
    assert [path for path in (checkout / "python").iterdir() if path.is_dir()] == []


async def test_a_checkout_that_cannot_be_compiled_beforehand_is_measured(checkout: Path, install: Install) -> None:
    install(Installer(fails_at="compileall"))
    found = await provide_interpreters([NAME], home=checkout, checkout=checkout, say=lambda _: None)
    assert isinstance(found[NAME], Interpreter)


async def test_a_second_run_waits_until_the_first_has_made_it(checkout: Path, install: Install) -> None:
    installer = install(Installer())
    assert len({*await asyncio.gather(make(checkout), make(checkout))}) == 1
    assert len([line for line in installer.ran if "venv" in line]) == 1


async def test_one_that_was_uninstalled_since_is_named(checkout: Path, install: Install) -> None:
    install(Installer())
    found = await provide_interpreters(["3.11.2", NAME], home=checkout, checkout=checkout, say=lambda _: None)
    assert isinstance(found["3.11.2"], Unavailable)
    assert found[NAME] == Interpreter(
        NAME, environment_folder(checkout, checkout, NAME, PYTHON) / "bin" / "python", FACTS
    )


async def test_the_harnesss_own_alone_asks_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find_interpreters", lambda: pytest.fail("it was asked"))
    assert await provide_interpreters([], home=checkout, checkout=checkout, say=lambda _: None) == {}


@pytest.mark.slow
async def test_the_lock_is_held_by_what_a_killed_run_leaves_at_work(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with interpreters._alone(path) as lock:
        left = asyncio.create_task(interpreters._run(Path("/bin/sleep"), "60", lock=lock))
        children = psutil.Process().children
        while not any("sleep" in child.name() for child in children()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
async def test_what_fails_says_its_last_line() -> None:
    with pytest.raises(OperationFailed) as failed:
        await interpreters._run(Path(sys.executable), "-c", "raise SystemExit('first\\nlast')")
    assert (failed.value.code, str(failed.value)) == ("no-environment", "last")


@pytest.mark.slow
def test_an_interpreter_says_what_a_manifest_keeps() -> None:
    script = ROOT / "bench" / "provision" / "pythons.py"
    done = subprocess.run([sys.executable, "-I", str(script), "--facts"], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts.pop("object_code_ns") > 0
    assert facts == pythons.read_interpreter()
