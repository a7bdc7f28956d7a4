"""Tests which settings `make web` refuses before it starts anything."""

import asyncio
from pathlib import Path

from bench.profile.loader import load_profile
from bench.runner.environment import RunPaths
from bench.runner.web import serve_page
from tests.conftest import refuses


def test_the_page_takes_no_replay(tmp_path: Path) -> None:
    replay = tmp_path / "replay"
    replay.write_text("0\n9\n")
    profile = load_profile(settings={"TRANSPORT": "memory", "ARRIVALS": "replay", "REPLAY": str(replay)})
    paths = RunPaths(checkout=tmp_path, home=tmp_path, results=tmp_path, given={})
    with refuses("replay-on-page", "ARRIVALS", "REPLAY"):
        asyncio.run(serve_page(profile, paths, 8089, lambda _: None))
    assert [path.name for path in tmp_path.iterdir()] == ["replay"]
