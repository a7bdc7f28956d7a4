"""Tests that the table of settings is whole, and that a new setting needs an entry there alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from bench.cli.commands import COMMANDS
from bench.load.workload.arrivals import Arrivals
from bench.load.workload.orders import PayloadShape
from bench.paths import ROOT
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.parsing import parse
from bench.profile.schema import Profile
from bench.results.question_settings import QUESTION
from bench.results.setting_names import RENAMED, RENAMED_KEYS
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS, settings_by_column, settings_by_key
from tests.conftest import refuses
from transports import registry
from transports.security.levels import LEVELS
from transports.wire import list_codecs


def test_methods_of_the_table_are_those_that_are_installed() -> None:
    assert set(SETTINGS["TRANSPORT"].choices) == set(registry.list_transports())
    assert set(SETTINGS["TRANSPORT"].aliases.values()) <= set(registry.list_transports())


def test_backends_of_the_table_are_those_that_a_method_runs_over() -> None:
    backends = {backend for name in registry.list_transports() for backend in registry.list_backends(name)}
    assert set(SETTINGS["BACKEND"].choices) == backends


def test_compressions_of_the_table_are_those_of_the_methods() -> None:
    kinds = [
        registry.load_transport(name, backend)
        for name in registry.list_transports()
        for backend in (registry.list_backends(name) or ("",))
    ]
    assert set(SETTINGS["COMPRESSION"].choices) == {"none"}.union(*(kind.traits.compressions for kind in kinds))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CODEC", list_codecs()),
        ("SECURITY", LEVELS),
        ("ARRIVALS", get_args(Arrivals)),
        ("SHAPE", get_args(PayloadShape)),
    ],
)
def test_words_of_the_table_are_those_that_the_code_knows(name: str, words: tuple[str, ...]) -> None:
    assert set(SETTINGS[name].choices) == set(words)


@pytest.mark.parametrize("spec", [*SETTINGS.values(), *QUESTION.values()], ids=lambda spec: spec.name)
def test_every_setting_has_help_and_words_that_fit(spec: SettingSpec) -> None:
    assert spec.help.strip()
    assert spec.kind != "word" or spec.choices
    assert not spec.choices or set(spec.aliases.values()) <= set(spec.choices)
    assert not spec.aliases.keys() & set(spec.choices)
    assert not spec.factor or spec.column
    for level in spec.base:
        assert parse(spec, level) == level


def test_a_name_a_key_and_a_column_stand_once() -> None:
    assert len(settings_by_key()) == len(SETTINGS)
    assert len(settings_by_column()) == sum(bool(spec.column) for spec in SETTINGS.values())
    assert all(name == spec.name for name, spec in (SETTINGS | QUESTION).items())


def test_what_is_renamed_has_the_name_of_a_setting_and_is_none() -> None:
    assert set(RENAMED.values()) <= SETTINGS.keys()
    assert set(RENAMED_KEYS.values()) <= settings_by_key().keys()
    assert not RENAMED.keys() & SETTINGS.keys()
    assert not RENAMED_KEYS.keys() & settings_by_key().keys()


@pytest.mark.slow
def test_a_setting_is_refused_without_a_library() -> None:
    """A misspelt setting is refused within 0.3 s, and before anything is installed."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import bench.profile.parsing, bench.results.settings; "
        "known = {*sys.stdlib_module_names, '__main__'}; "
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] not in known))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "bench",
        "bench.errors",
        "bench.profile",
        "bench.profile.parsing",
        "bench.results",
        "bench.results.setting_spec",
        "bench.results.settings",
        "transports",
        "transports.errors",
    ]


SIZE = SettingSpec(
    name="WINDOW_SIZE",
    key="window_size",
    kind="number",
    help="how large a window is",
    default=8,
    role="workload",
    factor=True,
    column="window_size",
    label="window-",
)


@pytest.fixture
def with_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, SIZE.name, SIZE)


def columns(profile: str = "default", **settings: str) -> list[dict[str, Any]]:
    given = {"TRANSPORT": "memory", **settings}
    return [cell.columns() for cell in expand_cells(load_profile(profile, given))]


@pytest.mark.usefixtures("with_size")
def test_a_setting_that_is_declared_is_parsed_and_has_its_column() -> None:
    assert load_profile(settings={"TRANSPORT": "memory"}).extra["window_size"] == 8
    assert load_profile(settings={"TRANSPORT": "memory", "window-size": "2.5"}).extra["window_size"] == 2.5
    assert [row["window_size"] for row in columns(WINDOW_SIZE="2.5")] == [2.5]


@pytest.mark.usefixtures("with_size")
def test_a_setting_that_is_declared_can_be_a_factor(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("also = []\n[[block]]\nwindow_size = [1, 2, 4]\n")
    profile = load_profile(str(path), {"TRANSPORT": "memory"})
    assert [cell.name for cell in expand_cells(profile)] == ["memory@window-1", "memory@window-2", "memory@window-4"]
    assert [row["window_size"] for row in columns(str(path))] == [1, 2, 4]
    assert [row["window_size"] for row in columns(str(path), WINDOW_SIZE="2.0,4")] == [2, 4]


def test_what_is_a_field_of_a_profile_does_not_stand_beside_it() -> None:
    assert not load_profile().extra.keys() & set(Profile.__struct_fields__)


BOUNDLESS = {"RATE"}
"""The number of orders of a trial is bounded by itself."""


def test_a_number_that_would_never_end_is_refused() -> None:
    """A count without a bound was planned until the memory was full."""
    tables = [SETTINGS.values(), QUESTION.values(), *(command.own.values() for command in COMMANDS)]
    for spec in [spec for table in tables for spec in table if spec.kind in ("count", "number", "seconds")]:
        assert spec.most is not None or spec.name in BOUNDLESS, spec.name
    for name, text in (("ROUNDS", "999999999999999"), ("DURATION", "9999h")):
        with refuses(f"bad-{SETTINGS[name].kind}", name):
            load_profile(settings={name: text})
