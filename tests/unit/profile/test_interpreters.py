"""Tests what may be typed for INTERPRETER, and which cells it gives."""

from pathlib import Path

import msgspec
import pytest

from bench.errors import MissingServer
from bench.profile import interpreters
from bench.profile.loader import load_profile, restore_profile
from bench.profile.matrix import expand_cells
from bench.provision.services import OWN_PYTHON
from bench.trial.context import TrialContext
from tests.conftest import refuses
from tests.unit.profile.conftest import HERE, Pythons

REST = {"TRANSPORT": "rest"}


def find_names(profile: str, **settings: str) -> list[str]:
    return [cell.name for cell in expand_cells(load_profile(profile, REST | settings))]


@pytest.mark.usefixtures("pythons")
def test_found_is_every_usable_interpreter_of_the_machine() -> None:
    cells = expand_cells(load_profile("python"))
    assert {cell.transport for cell in cells} == {"rest", "grpc"}
    assert [cell.columns()["interpreter"] for cell in cells if cell.transport == "rest"] == list(HERE)
    assert [cell.name for cell in cells if cell.transport == "rest"] == [f"rest@{name}" for name in HERE]
    assert {cell.rate_per_s for cell in cells} == {150}


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("3.12.1,3.11.7", ["rest@3.11.7", "rest@3.12.1"]),
        ("3.12, 3.13", ["rest@3.12.1", "rest@3.13.0+pgo"]),
        ("3.11", ["rest@3.11.2+pgo"]),
        ("3.11.2,3.11.2+PGO", ["rest@3.11.2+pgo"]),
        ("Found", [f"rest@{name}" for name in HERE]),
    ],
)
def test_a_study_is_of_the_versions_that_are_typed(typed: str, names: list[str]) -> None:
    assert find_names("python", INTERPRETER=typed) == names


@pytest.mark.usefixtures("pythons")
def test_in_any_other_run_one_holds_for_all_cells_and_is_in_no_name() -> None:
    (cell,) = expand_cells(load_profile(settings=REST | {"INTERPRETER": "3.12"}))
    assert (cell.name, cell.columns()["interpreter"]) == ("rest", "3.12.1")


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize("level", ['["own", "3.12"]', '{ rest = ["own", "3.12.1"] }'])
def test_a_profile_of_ones_own_may_set_them_against_the_harnesss_own(tmp_path: Path, level: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"also = []\n[[block]]\ninterpreter = {level}\n")
    assert find_names(str(path)) == ["rest@own", "rest@3.12.1"]


@pytest.mark.usefixtures("pythons")
def test_a_block_may_have_one_for_all_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('also = []\n[[block]]\nrate_per_s = [10]\ninterpreter = "3.12"\n')
    (cell,) = expand_cells(load_profile(str(path), REST))
    assert (cell.name, cell.profile.interpreter) == ("rest@10", "3.12.1")


def test_the_harnesss_own_is_the_default_and_asks_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find_interpreters", lambda: pytest.fail("it was asked"))
    for settings in (REST, REST | {"INTERPRETER": "own"}):
        (cell,) = expand_cells(load_profile(settings=settings))
        assert cell.columns()["interpreter"] == interpreters.OWN


def test_the_harnesss_own_is_what_services_have_where_nobody_says_another(tmp_path: Path) -> None:
    stage = TrialContext(run_id="a", brokers={}, folder=tmp_path, logs=tmp_path)
    assert stage.pythons == {interpreters.OWN: OWN_PYTHON}


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"INTERPRETER": "3.14"}, "unknown-interpreter"),
        ({"INTERPRETER": "3.1"}, "unknown-interpreter"),
        ({"INTERPRETER": "3.12,3.13"}, "several-interpreters"),
        ({"INTERPRETER": "found"}, "several-interpreters"),
        ({"INTERPRETER": "3.12", "TRANSPORT": "memory"}, "interpreter-without-process"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, str], code: str) -> None:
    with refuses(code):
        load_profile(settings=REST | settings)


@pytest.mark.parametrize("here", [(), ("3.11.2",)])
def test_a_study_on_a_machine_with_fewer_than_two_is_refused(pythons: Pythons, here: tuple[str, ...]) -> None:
    pythons(*here)
    with refuses("too-few-interpreters", kind=MissingServer):
        load_profile("python")


@pytest.mark.usefixtures("pythons")
def test_a_kept_study_goes_on_with_its_own_interpreters_and_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = msgspec.to_builtins(load_profile("python"))
    monkeypatch.setattr(interpreters, "find_interpreters", lambda: pytest.fail("it was asked"))
    assert expand_cells(restore_profile(manifest)) != []
    older = {key: value for key, value in manifest.items() if key != "interpreter"}
    assert restore_profile(older).interpreter == interpreters.OWN
