"""Tests sets and their news against the installed `locust --master`."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.load.locust.control import Master, start_master, start_worker
from bench.load.sets.protocol import SetNews, SetSpec
from tests.contract.test_locust_worker import ask, until
from tests.unit.load.test_slices import build_spec

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


def build_memory_spec(**changes: Any) -> SetSpec:
    """Nobody serves, so its orders fail."""
    spec = build_spec(slice_s=0.4, **changes)
    arms = tuple(msgspec.structs.replace(arm, transport="memory") for arm in spec.arms)
    return msgspec.structs.replace(spec, arms=arms)


async def test_a_set_tells_of_its_slices_while_it_is_played_and_its_users_cannot_be_edited(tmp_path: Path) -> None:
    told: list[SetNews] = []
    async with (
        start_master(folder=tmp_path, log=tmp_path / "master.log") as running,
        start_worker(running, log=tmp_path / "worker.log"),
    ):
        playing = asyncio.ensure_future(running.run_set(build_memory_spec(cells=2, slices=6), told.append))
        await until(running, "state == 'running'")
        edit = await ask(running, "POST", "/swarm", user_count="7", spawn_rate="7")
        assert not edit["success"]
        assert edit["message"].endswith("[set-is-planned]")
        report = await playing
        assert report.error is None
        assert [one.next for one in told] == [None, None, *range(1, 13), 0, 0]
        assert sorted(one.report.place for news in told for one in news.slices) == [*range(1, 13)]
        assert await show_cells(running) == [("cell-0", 6), ("cell-1", 6)]
        assert "Cells" in await ask(running, "GET", "/")
        # The next set starts.
        again = await running.run_set(build_memory_spec(slices=1, id="set-2"), told.append)
        assert again.error is None


async def show_cells(running: Master) -> list[tuple[str, int]]:
    """The table of cells on the page: each with its slices."""
    shown = await ask(running, "GET", "/stats/requests")
    (table,) = [one for one in shown["extended_stats"] if one["key"] == "cells"]
    return [(row["name"], row["slices"]) for row in table["data"]]
