"""Which replays are run, and what is made of what they lack: with replays that are made up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import Unmeasured
from bench.provision.base import Unavailable
from bench.regress import count
from bench.regress.count import Bench, Counted, Tools, count_methods
from bench.regress.judge import INTEGRITY, Word
from bench.regress.replays import ArmTree, ReplaySpec
from bench.regress.thresholds import Gates, parse_gates
from bench.regress.tools import Counter

GATES = parse_gates(
    """
    methods = ["rest"]
    [metrics.instructions]
    share = 0.02
    [metrics.system_calls]
    share = 0.01
    [metrics.bytes_sent]
    share = 0.01
    [metrics.kept_bytes]
    counted = false
    why = "not here"
    """,
    "a test",
)
CALLGRIND, TRACEPOINT = Counter("callgrind", "valgrind-3"), Counter("tracepoint", "of the kernel")
PLAIN = {"system_calls": [10.0], "bytes_sent": [100.0]} | {name: [0.0] for name in INTEGRITY}
Change = Callable[[ArmTree, ReplaySpec, dict[str, list[float]]], None]


class Replays:
    """Stands for real ones, and notes which were asked for."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.asked: list[tuple[str, str, int]] = []

    async def run(self, arm: ArmTree, spec: ReplaySpec, orders: Path, folder: Path) -> dict[str, list[float]]:
        self.asked.append((arm.arm, spec.tool, spec.hash_seed))
        found = {"instructions": [1000.0, 1000.0]} if spec.tool == "callgrind" else dict(PLAIN)
        self._change(arm, spec, found)
        return found


def none_changed(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
    """The arms are alike."""


async def counted_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change = none_changed,
    *,
    instructions: Counter = CALLGRIND,
    calls: Counter = TRACEPOINT,
    method: str = "rest",
    gates: Gates = GATES,
    seeds: int = 1,
) -> tuple[Counted, Replays]:
    replays = Replays(change)
    monkeypatch.setattr(count, "run_replay", replays.run)
    base, head = (ArmTree(arm=arm, tree=tmp_path, python=tmp_path) for arm in ("base", "head"))  # type: ignore[arg-type]
    bench = Bench(
        arms=(base, head),
        tools=Tools(instructions=instructions, calls=calls),
        brokers={name: Unavailable(name, f"no {name} here") for name in ("rabbitmq", "kafka")},
        orders=tmp_path / "orders.json",
        folder=tmp_path,
        seeds=seeds,
    )
    return await count_methods((method,), gates, bench, lambda method, again: None), replays


def words(counted: Counted) -> dict[str, Word]:
    return {one.metric: one.word for one in counted.left_out}


async def test_arms_that_are_alike_are_counted_with_one_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, replays = await counted_with(tmp_path, monkeypatch)
    assert sorted(replays.asked) == [(arm, tool, 0) for arm in ("base", "head") for tool in ("callgrind", "tracepoint")]
    assert counted.thresholds["rest"].keys() == {"instructions", "system_calls", "bytes_sent"}
    assert words(counted) == {"kept_bytes": Word.NOT_MEASURED}


@pytest.mark.parametrize(
    ("metric", "by", "tools"),
    [
        ("instructions", 10.0, {"callgrind"}),
        ("instructions", 9.9, set()),
        ("system_calls", 1.0, {"tracepoint"}),
        ("bytes_sent", -50.0, {"tracepoint"}),
    ],
)
async def test_what_moved_is_counted_again_by_the_program_that_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, by: float, tools: set[str]
) -> None:
    def change(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
        if arm.arm == "head" and metric in found:
            found[metric] = [value + by for value in found[metric]]

    _, replays = await counted_with(tmp_path, monkeypatch, change)
    again = {(tool, seed) for _, tool, seed in replays.asked if seed}
    assert again == {(tool, seed) for tool in tools for seed in (1, 2)}


async def test_all_seeds_are_counted_at_once_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, replays = await counted_with(tmp_path, monkeypatch, seeds=3)
    assert {(tool, seed) for _, tool, seed in replays.asked} == {
        (tool, seed) for tool in ("callgrind", "tracepoint") for seed in (0, 1, 2)
    }


@pytest.mark.parametrize("lacking", ["base", "head", "both"])
async def test_bytes_that_an_arm_does_not_know_are_inconclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def change(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
        if lacking in (arm.arm, "both"):
            found.pop("bytes_sent", None)

    counted, _ = await counted_with(tmp_path, monkeypatch, change)
    assert words(counted)["bytes_sent"] is Word.INCONCLUSIVE
    assert "bytes_sent" not in counted.thresholds["rest"]
    assert "bytes_sent" not in {one.metric for one in counted.observations}


async def test_what_no_program_can_count_is_inconclusive_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
        found.pop("system_calls")

    counted, _ = await counted_with(
        tmp_path, monkeypatch, change, instructions=Counter(why="no valgrind"), calls=Counter(why="no strace")
    )
    assert words(counted) == {
        "instructions": Word.INCONCLUSIVE,
        "system_calls": Word.INCONCLUSIVE,
        "kept_bytes": Word.NOT_MEASURED,
    }
    assert {one.why for one in counted.left_out} == {"no valgrind", "no strace", "not here"}


@pytest.mark.parametrize("metric", ["unfinished", "unexpected"])
async def test_of_arms_that_lose_orders_no_instruction_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    def change(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
        found[metric] = [2.0]

    counted, replays = await counted_with(tmp_path, monkeypatch, change)
    assert {tool for _, tool, _ in replays.asked} == {"tracepoint"}
    assert words(counted)["instructions"] is Word.INCONCLUSIVE


async def test_an_arm_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(arm: ArmTree, spec: ReplaySpec, found: dict[str, list[float]]) -> None:
        if arm.arm == "head":
            raise Unmeasured("it does not run", code="no-replay")

    counted, _ = await counted_with(tmp_path, monkeypatch, change)
    assert counted.unmeasured == {"rest": "it does not run"}
    assert counted.observations == []
    assert counted.thresholds == {}


async def test_a_method_whose_broker_cannot_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, replays = await counted_with(tmp_path, monkeypatch, method="broker")
    assert counted.unmeasured == {"broker": "no rabbitmq here"}
    assert replays.asked == []
