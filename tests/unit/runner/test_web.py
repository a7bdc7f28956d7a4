"""Tests which settings `make web` refuses before it starts anything."""

import asyncio
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.profile.loader import load
from bench.runner.environment import RunPaths
from bench.runner.web import serve_page


def test_the_page_takes_no_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("0\n9\n")
    profile = load(flags={"TRANSPORT": "memory", "ARRIVALS": "trace", "TRACE": str(trace)})
    house = RunPaths(checkout=tmp_path, home=tmp_path, results=tmp_path, given={})
    with pytest.raises(UsageError, match=r"a rate of its own.*leave ARRIVALS and TRACE out"):
        asyncio.run(serve_page(profile, house, 8089, lambda _: None))
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]
