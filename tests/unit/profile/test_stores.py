"""Tests which store a cell has, what of it is refused, and what it lets an accepted order survive."""

from collections.abc import Mapping

import pandas as pd
import pytest

from bench.advise.evidence import _find_usual_stores
from bench.errors import UsageError
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.provision import postgres
from bench.provision.base import Broker, Unavailable
from bench.runner.availability import find_unavailable_reason
from bench.runner.manifest import describe_traits


@pytest.mark.parametrize(
    ("asked", "store"),
    [
        ({}, "sqlite"),
        ({"DURABILITY": "safe"}, "sqlite"),
        ({"STORE": "memory"}, "memory"),
        ({"STORE": "postgresql"}, "postgres"),
        ({"STORE": "pg", "DURABILITY": "safe"}, "postgres"),
        ({"TRANSPORT": "memory"}, "memory"),
        ({"TRANSPORT": "memory", "DURABILITY": "safe"}, "sqlite"),
        ({"TRANSPORT": "memory", "STORE": "sqlite"}, "sqlite"),
        # Stores of a run are alike, so that the difference is the method's.
        ({"TRANSPORT": "memory,rest"}, "sqlite"),
    ],
)
def test_a_service_has_a_file_of_its_own_when_nothing_else_is_said(asked: Mapping[str, str], store: str) -> None:
    assert {cell.columns()["store"] for cell in expand_cells(load_profile(settings=asked))} == {store}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"STORE": "memory", "DURABILITY": "safe"}, "unsafe-store"),
        ({"STORE": "postgres", "TRANSPORT": "memory"}, "store-in-process"),
        *(
            ({"STORE": "memory", "FAULT": fault}, "fault-needs-store")
            for fault in ("stop-user", "kill-user", "cut-user")
        ),
        ({"STORE": "memory", "FAULT": "kill-broker", "TRANSPORT": "events"}, "fault-needs-store"),
        ({"FAULT": "kill-user", "TRANSPORT": "memory"}, "fault-without-process"),
    ],
)
def test_a_store_that_cannot_be_is_refused(asked: Mapping[str, str], code: str) -> None:
    with pytest.raises(UsageError) as told:
        load_profile(settings=asked)
    assert told.value.code == code


def test_only_a_cell_with_its_store_on_the_server_misses_the_server() -> None:
    gone: dict[str, Broker | Unavailable] = {postgres.NAME: Unavailable(postgres.NAME, postgres.NOT_INSTALLED)}
    (over_files,) = expand_cells(load_profile(settings={"TRANSPORT": "rest"}))
    (on_server,) = expand_cells(load_profile(settings={"TRANSPORT": "rest", "STORE": "postgres"}))
    assert (over_files.needs_database, on_server.needs_database) == (False, True)
    assert find_unavailable_reason(over_files, gone) == ""
    assert find_unavailable_reason(on_server, gone) == postgres.NOT_INSTALLED


@pytest.mark.parametrize(
    ("transport", "store", "durability", "level"),
    [
        ("rest", "memory", "fast", "D0"),
        ("rest", "sqlite", "fast", "D2"),
        ("rest", "postgres", "fast", "D1"),
        ("grpc", "postgres", "safe", "D3"),
        ("memory", "memory", "fast", "D0"),
        # Of a broker it is the message that is accepted, whatever the store.
        ("broker", "memory", "fast", "D1"),
        ("events", "sqlite", "fast", "D2"),
    ],
)
def test_what_survives_on_a_chain_is_what_its_stores_keep(
    transport: str, store: str, durability: str, level: str
) -> None:
    asked = {"TRANSPORT": transport, "STORE": store, "DURABILITY": durability}
    (cell,) = expand_cells(load_profile(settings=asked))
    assert describe_traits(cell)["survives"].startswith(level)


def test_a_run_is_evidence_at_the_default_store_and_an_older_one_at_memory() -> None:
    trials = pd.DataFrame({"durability": ["fast", "fast", "safe"], "store": ["memory", "sqlite", "postgres"]})
    assert _find_usual_stores(trials) == {"fast": "sqlite", "safe": ""}
    assert _find_usual_stores(trials[:1]) == {"fast": "memory"}
