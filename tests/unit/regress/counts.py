"""Builds counts and plans of comparisons that nobody ran."""

from collections.abc import Mapping, Sequence

from bench.regress.judge import INTEGRITY, Observation, Threshold
from bench.regress.verdict import Plan, Side

CELL = "rest"
THRESHOLD = Threshold(share=0.02, least=5.0)


def build_counts(
    changes: Mapping[int, float], *, base: float = 1000.0, metric: str = "calls", cell: str = CELL
) -> list[Observation]:
    """Counts of one metric, and of sound integrity: by hash seed, by how much the head's value is more."""
    found = []
    for seed, change in changes.items():
        for arm, value in (("base", base), ("head", base + change)):
            found.append(build_one(metric, arm, value, seed=seed, cell=cell))
            found += [build_one(name, arm, 0.0, seed=seed, cell=cell) for name in INTEGRITY]
    return found


def build_one(metric: str, arm: str, value: float, *, seed: int = 0, piece: int = 0, cell: str = CELL) -> Observation:
    assert arm in ("base", "head")
    return Observation(cell=cell, metric=metric, arm=arm, seed=seed, piece=piece, value=value)  # type: ignore[arg-type]


def replace_value(counts: Sequence[Observation], metric: str, arm: str, value: float) -> list[Observation]:
    return [
        build_one(metric, arm, value, seed=one.seed, cell=one.cell) if (one.metric, one.arm) == (metric, arm) else one
        for one in counts
    ]


def build_plan(**changes: object) -> Plan:
    side = {"asked": "", "commit": "c" * 40, "tree": "t" * 40, "dirty": False}
    facts: dict[str, object] = {
        "id": "made-up",
        "base": Side(name="main", **side),  # type: ignore[arg-type]
        "head": Side(name="mine", **side),  # type: ignore[arg-type]
        "strict": False,
        "orders": 200,
        "thresholds": {CELL: {"calls": THRESHOLD}},
        "thresholds_of": "main",
    }
    return Plan(**facts | changes)  # type: ignore[arg-type]
