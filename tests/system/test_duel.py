"""Tests sets of a duel on real services: what they measure, which arm a change is told of, and that nothing is left."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from bench.errors import Unmeasured
from bench.paths import ROOT
from bench.provision.services import OWN_PYTHON
from bench.regress.duel_set import DuelMethod, DuelSet, play_set
from bench.regress.judge_sets import SetRow
from bench.regress.replays import ArmTree, write_orders
from bench.regress.set_rows import build_rows, find_troubles
from tests.conftest import refuses
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker]

HERE = ArmTree(arm="base", tree=ROOT, python=OWN_PYTHON)
CODE = ("bench", "shop", "transports", "stores")


def copy_tree(folder: Path, file: str = "", pattern: str = "", instead: str = "") -> ArmTree:
    """A tree of this revision's code with one change."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    if file:
        text = (folder / file).read_text()
        changed, count = re.subn(pattern, instead, text, count=1)
        assert count == 1, f"{pattern} is not in {file}"
        (folder / file).write_text(changed)
    return ArmTree(arm="head", tree=folder, python=OWN_PYTHON)


async def play(
    tmp_path: Path,
    base: ArmTree,
    head: ArmTree,
    method: str = "rest",
    servers: Mapping[str, str] | None = None,
    load_per_s: float = 0.0,
) -> DuelSet:
    orders = tmp_path / "orders.json"
    write_orders(orders)
    folder = tmp_path / "run"
    folder.mkdir()
    chosen = DuelMethod(name=method, kind=load_transport(method), servers=servers or {}, load_per_s=load_per_s)
    name = f"duel-{os.getpid()}-{method}"
    logs = tmp_path / "logs"
    played = await play_set((base, head), chosen, name=name, seed=1, orders=orders, folder=folder, logs=logs)
    assert find_left(folder) == []
    return played


def find_left(folder: Path) -> list[int]:
    """Processes that carry the run's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.environ().values():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def by_metric(method: str, played: DuelSet) -> dict[str, SetRow]:
    return {row.metric: row for row in build_rows(method, 1, "screen", played)}


async def test_two_equal_arms_take_turns_and_close_their_books(tmp_path: Path) -> None:
    played = await play(tmp_path, HERE, HERE, load_per_s=100.0)
    assert list(find_troubles(played)) == []
    base, head = (len(arm.turns["finished_us"]) for arm in (played.base, played.head))
    assert base == head > 50
    found = by_metric("rest", played)
    assert {"finish_p50_us", "finish_p90_us", "accept_p50_us", "cpu_us_services", "cpu_us_payment"} <= set(found)
    assert {"finish_p50_us_loaded", "finish_p99_us_loaded", "cpu_us_client"} <= set(found)
    assert "cpu_us_broker" not in found
    assert all(0.5 < row.ratio < 2 for name, row in found.items() if "p99" not in name)


@pytest.mark.parametrize("method", ["grpc", "broker", "events"])
async def test_every_method_is_duelled_over_its_servers(
    tmp_path: Path, method: str, servers: Mapping[str, str]
) -> None:
    needs = load_transport(method).traits.needs
    played = await play(tmp_path, HERE, HERE, method, {name: servers[name] for name in needs})
    assert list(find_troubles(played)) == []
    assert "finish_p50_us" in by_metric(method, played)


async def test_fifty_milliseconds_of_waiting_are_told_of_the_head_alone(tmp_path: Path) -> None:
    slower = copy_tree(
        tmp_path / "slower",
        "transports/rest/server.py",
        r"(\n    async def \w+\(request: Request[^\n]*\n)",
        r"\1        import asyncio as waiting; await waiting.sleep(0.05)\n",
    )
    found = by_metric("rest", await play(tmp_path, HERE, slower))
    # Four services wait, 200 ms beside some 3 ms of a whole order.
    assert found["finish_p50_us"].ratio > 3
    assert found["finish_p50_us"].base < 200_000 < found["finish_p50_us"].head
    (tmp_path / "again").mkdir()
    mirrored = by_metric("rest", await play(tmp_path / "again", slower, HERE))
    assert mirrored["finish_p50_us"].ratio < 1 / 3


async def test_an_arm_that_does_not_start_is_named(tmp_path: Path) -> None:
    broken = copy_tree(tmp_path / "broken", "transports/rest/transport.py", r"^", "raise SystemExit('broken')\n")
    with refuses("arm-failed", kind=Unmeasured):
        await play(tmp_path, HERE, broken)
    assert find_left(tmp_path / "run") == []


def test_the_load_process_is_of_its_arm(tmp_path: Path) -> None:
    """`shop` and `transports` come from the arm's tree, and the rest from the tree in which the duel was asked for."""
    arm = copy_tree(tmp_path / "arm")
    path = os.pathsep.join((str(arm.tree), str(ROOT / "bench")))
    code = "import shop, transports, regress.replay as r; print(shop.__file__, transports.__file__, r.__file__)"
    done = subprocess.run(
        [str(OWN_PYTHON), "-P", "-c", code],
        capture_output=True,
        text=True,
        cwd=arm.tree,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    own_shop, own_transports, replay = map(Path, done.stdout.split())
    assert own_shop.is_relative_to(arm.tree) and own_transports.is_relative_to(arm.tree)
    assert replay == ROOT / "bench" / "regress" / "replay.py"
