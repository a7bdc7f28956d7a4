"""Tests which runs have the doubt that they were measured on an older ground."""

from pathlib import Path
from typing import Any

import pytest

from bench.results.caveats import OLDER_GROUND
from bench.results.lookup import find_reference_runs
from bench.results.older_ground import add_ground_doubt
from bench.results.reader import SCHEMA_VERSION
from bench.results.store import RunFolder

PYTHON = {"version": "3.11.2", "pgo": True, "lto": True}
KAFKA = {"kafka": {"version": "4.3.0"}}


def names_of(manifest: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in add_ground_doubt(manifest).get("caveats", ())]


def text_of(manifest: dict[str, Any]) -> str:
    return str(add_ground_doubt(manifest)["caveats"][-1]["text"])


@pytest.mark.reference
@pytest.mark.parametrize("folder", find_reference_runs().values(), ids=find_reference_runs().keys())
def test_a_kept_run_has_it_once_until_it_is_measured_with_a_newer_schema(folder: Path) -> None:
    manifest = RunFolder.open(folder).manifest
    has_it = [entry["name"] for entry in manifest["caveats"]].count(OLDER_GROUND)
    assert has_it == (1 if manifest["schema_version"] < 6 else 0)


@pytest.mark.parametrize(
    "manifest",
    [
        {"python": PYTHON, "brokers": KAFKA, "profile": {"store": "sqlite"}, "facts": {}},
        # Somebody's own choice is no older ground.
        {"python": {**PYTHON, "pgo": False}, "brokers": {"rabbitmq": {"version": "3.10.8"}}},
        {"python": PYTHON, "profile": {"store": "memory"}, "facts": {"events": {"server": "each batch"}}},
        {},
    ],
)
def test_a_run_of_today_has_it_not(manifest: dict[str, Any]) -> None:
    assert names_of({"schema_version": SCHEMA_VERSION, **manifest}) == []


def test_a_run_that_was_just_made_has_it_not(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run", {"profile": {"store": "memory"}, "brokers": KAFKA})
    assert "caveats" not in RunFolder.open(run.path).manifest


@pytest.mark.parametrize(
    ("manifest", "differs"),
    [
        ({"python": PYTHON, "brokers": {"rabbitmq": {"version": "3.10.8"}}}, "3.10.8"),
        ({}, "Python"),
        ({"python": PYTHON, "profile": {"store": "memory"}}, "memory"),
        ({"python": PYTHON, "brokers": KAFKA, "facts": {"events": {"server": "aiokafka 0.14.0"}}}, "Kafka"),
    ],
)
def test_an_older_run_says_what_differs(manifest: dict[str, Any], differs: str) -> None:
    older = {"schema_version": 5, **manifest}
    assert names_of(older) == [OLDER_GROUND]
    assert differs in text_of(older)


def test_of_an_older_run_nothing_is_said_that_it_does_not_have() -> None:
    facts = {"events": {"server": "aiokafka 0.14.0; offsets committed every 100 ms"}}
    older = {"schema_version": 5, "python": PYTHON, "brokers": {**KAFKA, "rabbitmq": {"version": "4.3.6"}}}
    assert names_of({**older, "profile": {"store": "sqlite"}, "facts": facts}) == []


def test_a_doubt_that_was_kept_is_not_added_again() -> None:
    once = add_ground_doubt({"schema_version": 5})
    assert add_ground_doubt(once) == once
