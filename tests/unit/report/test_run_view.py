"""Tests which command a report names for measuring the same again."""

import json
from pathlib import Path

import pytest

from bench.report.run_view import read_run_view
from tests.unit.builders import build_run


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        ("bench run --results results --home .fourways", "make bench"),
        ("bench study --results r PROFILE=size TRACE=f HOPS=1", "make study PROFILE=size REPLAY=f TRACE_EVERY=1"),
        ("fourways bench RATE=300 RESULTS=r STATE=s", "make bench RATE=300"),
        ("make study 'PROFILE=of mine.toml' RESUME=latest", "make study 'PROFILE=of mine.toml'"),
    ],
)
def test_the_command_has_todays_names_and_no_place_of_its_own(tmp_path: Path, kept: str, named: str) -> None:
    path = build_run(tmp_path, rounds=1).path
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    (path / "manifest.json").write_text(json.dumps({**manifest, "command": kept}), "utf-8")
    assert read_run_view(path).command == named
