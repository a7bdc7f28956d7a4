"""Tests that a run of an older schema is read with the names of today."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.results.caveats import Caveat
from bench.results.migrate import RENAMED_CAVEATS, RENAMED_COLUMNS, migrate_header, migrate_manifest
from bench.results.rows import OutageRow, trial_columns
from bench.results.store import RunFolder
from tests.unit.builders import build_trial

OLD_NAMES = {new: old for table in RENAMED_COLUMNS.values() for old, new in table.items()}


def make_old(run: RunFolder, **manifest: Any) -> RunFolder:
    """Rewrites a run with the names of schema 5."""
    for path in run.path.glob("*.csv"):
        header, rows = path.read_text().split("\n", 1)
        path.write_text(",".join(OLD_NAMES.get(column, column) for column in header.split(",")) + "\n" + rows)
    content = {**json.loads((run.path / "manifest.json").read_text()), "schema_version": 5, **manifest}
    (run.path / "manifest.json").write_text(json.dumps(content))
    return RunFolder.open(run.path)


def test_columns_doubts_and_levels_have_the_names_of_today(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run-1", {})
    doubts = tuple(Caveat(name, "why", "then") for name in ("speed", "below-rate"))
    run.add_trial(
        build_trial(littles_law_error=0.01, cpu_slowdown=1.5, background_cores=0.1, arrivals="trace", caveats=doubts),
        {},
    )
    trial = make_old(run).trials().iloc[0]
    assert (trial["littles_law_error"], trial["cpu_slowdown"], trial["background_cores"]) == (0.01, 1.5, 0.1)
    assert trial["caveats"] == "machine-speed-changed;below-rate"
    assert trial["arrivals"] == "replay"


def test_outages_have_the_names_of_today(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run-1", {})
    numbers = dict.fromkeys(OutageRow.__struct_fields__, 1) | {"cell": "rest", "fault": "stop-user", "failures": ""}
    run.add_outage(OutageRow(**{**numbers, "recovery_time_s": 0.5, "charged_unconfirmed": 3}), [])
    run.add_trial(build_trial(), {})
    outage = make_old(run).outages().iloc[0]
    assert (outage["recovery_time_s"], outage["charged_unconfirmed"], outage["fault_end_s"]) == (0.5, 3, 1)


def test_the_manifest_has_the_names_of_today_and_its_own_schema() -> None:
    old = {
        "schema_version": 5,
        "canary_us": 300.0,
        "cells": [{"name": "events", "product": "kafka", "levels": {"product": "kafka"}}],
        "profile": {
            "trace": None,
            "hops_every": 20,
            "product": "",
            "cold": True,
            "arrivals": "trace",
            "designed": [{"name": "rest", "levels": {"arrivals": "trace", "payload_bytes": 200}}],
        },
        "caveats": [{"name": "speed", "text": "", "next_step": "", "trial": None}],
    }
    assert migrate_manifest(old) == {
        "schema_version": 5,
        "speed_probe_us": 300.0,
        "cells": [{"name": "events", "product": "kafka", "levels": {"backend": "kafka"}}],
        "profile": {
            "replay": None,
            "trace_every": 20,
            "backend": "",
            "connections": True,
            "arrivals": "replay",
            "designed": [{"name": "rest", "levels": {"arrivals": "replay", "payload_bytes": 200}}],
        },
        "caveats": [{"name": "machine-speed-changed", "text": "", "next_step": "", "trial": None}],
    }
    assert migrate_manifest(migrate_manifest(old)) == migrate_manifest(old)


def test_a_manifest_without_any_of_it_is_read_too() -> None:
    assert migrate_manifest({"schema_version": 1, "profile": {}}) == {"schema_version": 1, "profile": {}}


def test_a_run_of_this_schema_keeps_its_names(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run-1", {"canary_us": 1.0})
    assert RunFolder.open(run.path).manifest["canary_us"] == 1.0


@pytest.mark.parametrize("table", sorted(RENAMED_COLUMNS))
def test_every_name_of_today_is_a_column(table: str) -> None:
    known = OutageRow.__struct_fields__ if table == "outages.csv" else trial_columns()
    assert set(RENAMED_COLUMNS[table].values()) <= set(known)
    assert not set(RENAMED_COLUMNS[table]) & set(known)
    assert migrate_header(table, "cell\nlittle,as_before_s\n") == "cell\nlittle,as_before_s\n"


def test_no_doubt_is_called_as_another_was() -> None:
    assert not set(RENAMED_CAVEATS) & set(RENAMED_CAVEATS.values())


def test_services_of_a_run_without_the_column_had_the_harnesss_own_python(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run-1", {})
    run.add_trial(build_trial(), {})
    lines = [line.split(",") for line in (run.path / "trials.csv").read_text().splitlines()]
    place = lines[0].index("interpreter")
    without = "".join(",".join(cells[:place] + cells[place + 1 :]) + "\n" for cells in lines)
    (run.path / "trials.csv").write_text(without)
    assert list(RunFolder.open(run.path).trials()["interpreter"]) == ["own"]
