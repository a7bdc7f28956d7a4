"""Counts what orders take in both arms, method by method."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import Unmeasured
from bench.provision.base import Broker, Unavailable
from bench.regress.judge import LOST, Observation, Threshold, Word, find_suspicious
from bench.regress.replays import ArmTree, ReplaySpec, run_replay, write_orders
from bench.regress.thresholds import Gates
from bench.regress.tools import Counter
from bench.regress.verdict import LeftOut
from transports.registry import load_transport

HASH_SEEDS = (0, 1, 2)
"""The first for everything, the others for what looks suspicious with it."""
INSTRUCTIONS, SYSTEM_CALLS = "instructions", "system_calls"
_LOST = "orders were lost before it was counted"
_NO_BYTES = "connections came or went during the count, so their bytes are not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What counts instructions, and what system calls."""

    instructions: Counter
    calls: Counter


@dataclass(slots=True)
class Counted:
    """What was counted, and what was not."""

    observations: list[Observation] = field(default_factory=list)
    thresholds: dict[str, dict[str, Threshold]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every count needs: the arms, the programs, the brokers, the orders, and the run's folder."""

    arms: tuple[ArmTree, ArmTree]
    tools: Tools
    brokers: Mapping[str, Broker | Unavailable]
    orders: Path
    folder: Path
    seeds: int = 1
    """Hash seeds for everything, suspicious or not."""


async def count_methods(
    methods: tuple[str, ...], gates: Gates, bench: Bench, begins: Callable[[str, bool], None]
) -> Counted:
    """Counts these methods one after another, both arms at once; what cannot be counted is told with its reason.

    ``begins`` is called with the method, and whether what looked suspicious is counted again. Raises SettingError for
    a method that there is not.
    """
    write_orders(bench.orders)
    counted = Counted()
    for method in methods:
        begins(method, False)
        missing = [
            broker.why
            for need in sorted(load_transport(method).traits.needs)
            if isinstance(broker := bench.brokers[need], Unavailable)
        ]
        if missing:
            counted.unmeasured[method] = missing[0]
            continue
        try:
            observed = await _count_method(method, gates, bench, begins)
        except Unmeasured as error:
            counted.unmeasured[method] = str(error)
            continue
        thresholds, left_out = _sort_out(method, gates, bench.tools, observed)
        counted.observations += [one for one in observed if one.metric not in {out.metric for out in left_out}]
        counted.thresholds[method] = thresholds
        counted.left_out += left_out
    return counted


async def _count_method(
    method: str, gates: Gates, bench: Bench, begins: Callable[[str, bool], None]
) -> list[Observation]:
    first, others = HASH_SEEDS[: bench.seeds], HASH_SEEDS[bench.seeds :]
    thresholds = gates.thresholds(method)
    plain, counting = bench.tools.calls.name, bench.tools.instructions.name
    observed = await _replay_both(method, plain, first[0], bench)
    if any(one.metric in LOST and one.value for one in observed):
        return observed  # what an arm takes that loses orders is of no interest
    further = [(plain, seed) for seed in first[1:]]
    if INSTRUCTIONS in thresholds and counting:
        further += [(counting, seed) for seed in first]
    observed += [one for tool, seed in further for one in await _replay_both(method, tool, seed, bench)]
    suspicious = {metric for _, metric in find_suspicious({method: thresholds}, _both_have(observed))}
    if suspicious and others:
        begins(method, True)
        # Each program counts anew only where one of its own metrics moved.
        again = [plain] if suspicious - {INSTRUCTIONS} else []
        again += [counting] if INSTRUCTIONS in suspicious else []
        observed += [one for seed in others for tool in again for one in await _replay_both(method, tool, seed, bench)]
    return observed


async def _replay_both(method: str, tool: str, hash_seed: int, bench: Bench) -> list[Observation]:
    """Both arms at the same time: what is counted does not depend on what else the machine does."""
    servers = {name: broker.url for name, broker in bench.brokers.items() if isinstance(broker, Broker)}
    spec = ReplaySpec(method=method, servers=servers, tool=tool, hash_seed=hash_seed)
    failed: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_replay(arm, spec, bench.orders, bench.folder)) for arm in bench.arms]
    except* Unmeasured as errors:
        failed += errors.exceptions
    if failed:
        raise failed[0]
    return [
        Observation(cell=method, metric=metric, arm=arm.arm, seed=hash_seed, piece=piece, value=value)
        for arm, task in zip(bench.arms, tasks, strict=True)
        for metric, values in sorted(task.result().items())
        for piece, value in enumerate(values)
    ]


def _both_have(observed: list[Observation]) -> list[Observation]:
    """Without the metrics that one arm lacks."""
    arms: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for one in observed:
        arms.setdefault((one.metric, one.seed), set()).add((one.arm, one.piece))
    uneven = {metric for (metric, _), seen in arms.items() if len(seen) % 2 or len({arm for arm, _ in seen}) == 1}
    return [one for one in observed if one.metric not in uneven]


def _sort_out(
    method: str, gates: Gates, tools: Tools, observed: list[Observation]
) -> tuple[dict[str, Threshold], list[LeftOut]]:
    """The thresholds of what was counted in both arms, and what was left out."""
    whole = {one.metric for one in _both_have(observed)}
    left_out = [
        LeftOut(cell=method, metric=metric, word=Word.NOT_MEASURED, why=why)
        for metric, why in gates.not_counted(method).items()
    ]
    thresholds = gates.thresholds(method)
    for metric in thresholds.keys() - whole:
        by_tool = {INSTRUCTIONS: tools.instructions.why or _LOST, SYSTEM_CALLS: tools.calls.why}
        why = by_tool.get(metric, _NO_BYTES)
        left_out.append(LeftOut(cell=method, metric=metric, word=Word.INCONCLUSIVE, why=why))
    counted = {metric: threshold for metric, threshold in thresholds.items() if metric in whole}
    return counted, sorted(left_out, key=lambda one: one.metric)
