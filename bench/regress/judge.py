"""Judges counts of two arms: numbers in, findings out.

The thresholds decide, for counts repeat: from run to run they differ by less (docs/regression.md). What looks
suspicious with the first hash seed is counted with two more, since the layout of hash tables alone moves instructions.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Literal

import msgspec

Arm = Literal["base", "head"]
ARMS: tuple[Arm, ...] = ("base", "head")
SCREEN = 0.5
"""A change is suspicious from this part of its threshold on."""
ENOUGH_SEEDS = 3
"""Hash seeds with which a change has to show before it is called one."""

LOST = ("unfinished", "unexpected")
"""Orders that did not finish, and those with another outcome than was planned; of a sound arm both are 0."""
ALIKE = ("outcomes", "books")
"""Hashes of the outcomes, and of what the services decided; the same in both arms."""
INTEGRITY = (*LOST, *ALIKE)


class Word(StrEnum):
    """What is said of a metric in a cell."""

    FAIL = "FAIL"
    SUSPECT = "SUSPECT"
    INCONCLUSIVE = "INCONCLUSIVE"
    IMPROVED = "IMPROVED"
    NOT_MEASURED = "NOT MEASURED"
    PASS = "PASS"


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A change counts from where it is as much as both: a share of the base, and so much per order."""

    share: float = 0.0
    least: float = 0.0
    lowest: bool = False
    """Whether the lowest piece of a replay is its value: of what other programs can only add to. Else the median is."""

    def value(self, pieces: Sequence[float]) -> float:
        """Returns the value of a replay."""
        return min(pieces) if self.lowest else statistics.median(pieces)

    def reach(self, base: float) -> float:
        """Returns the smallest change that counts, per order."""
        return max(self.share * base, self.least)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One reading: a value per order, and of the metrics of integrity one of the whole replay."""

    cell: str
    metric: str
    arm: Arm
    seed: int
    piece: int
    value: float


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one metric in one cell, and from what."""

    cell: str
    metric: str
    word: Word
    base: float | None = None
    head: float | None = None
    change: float | None = None
    """As a share of the base: the change that is nearest to none over the seeds."""
    fails_from: float | None = None
    """The change from which it fails, as a share of the base: the smallest that could be seen."""
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % interval of a timed change, as shares of the base."""
    sets: int = 0
    """Of how many sets of processes a timed change is."""
    is_time: bool = False
    """Whether it was timed, and not counted."""
    changes: tuple[float, ...] = ()
    """With each hash seed, per order."""
    why: str = ""


class Damaged(Exception):
    """The counts are not whole. ``str(error)`` is a sentence."""


Thresholds = Mapping[str, Mapping[str, Threshold]]
"""By cell and metric."""
Readings = Mapping[tuple[str, str], Mapping[int, Mapping[Arm, float]]]
"""By cell and metric, then by seed and arm: the value of a replay."""
_PLAIN = Threshold()


def read_values(thresholds: Thresholds, observations: Iterable[Observation]) -> Readings:
    """Returns the value of each replay. Raises Damaged where an arm lacks what the other has."""
    pieces: dict[tuple[str, str], dict[int, dict[Arm, list[float]]]] = {}
    for one in observations:
        by_arm = pieces.setdefault((one.cell, one.metric), {}).setdefault(one.seed, {})
        by_arm.setdefault(one.arm, []).append(one.value)
    for (cell, metric), by_seed in pieces.items():
        for seed, by_arm in by_seed.items():
            if len({len(by_arm.get(arm, ())) for arm in ARMS}) != 1:
                raise Damaged(f"{metric} of {cell} with seed {seed} is not there as often for both arms")
    found: dict[tuple[str, str], dict[int, dict[Arm, float]]] = {}
    for (cell, metric), by_seed in pieces.items():
        value = thresholds.get(cell, {}).get(metric, _PLAIN).value
        found[cell, metric] = {
            seed: {arm: value(values) for arm, values in by_arm.items()} for seed, by_arm in by_seed.items()
        }
    return found


def find_suspicious(thresholds: Thresholds, observations: Iterable[Observation]) -> set[tuple[str, str]]:
    """Returns each cell and metric that moved so far that it has to be counted with more seeds. Raises Damaged."""
    return {
        (cell, metric)
        for (cell, metric), by_seed in read_values(thresholds, observations).items()
        if (threshold := thresholds.get(cell, {}).get(metric)) is not None
        and any(
            arms["head"] != arms["base"] and abs(arms["head"] - arms["base"]) >= SCREEN * threshold.reach(arms["base"])
            for arms in by_seed.values()
        )
    }


def judge_counts(thresholds: Thresholds, observations: Sequence[Observation]) -> list[Finding]:
    """Returns a finding for each metric of each cell in ``thresholds``, and of integrity where there is one to tell.

    Raises Damaged where observations lack a metric, an arm, or one of the metrics of integrity.
    """
    readings = read_values(thresholds, observations)
    found = []
    for cell, metrics in thresholds.items():
        of_integrity = list(_judge_integrity(cell, readings))
        found += of_integrity
        sound = not any(one.word is Word.NOT_MEASURED for one in of_integrity)
        for metric, threshold in metrics.items():
            by_seed = _find_readings(readings, cell, metric)
            if sound:
                found.append(_judge_metric(cell, metric, threshold, by_seed))
            else:
                found.append(Finding(cell=cell, metric=metric, word=Word.NOT_MEASURED, why="its orders were lost"))
    return found


def _find_readings(readings: Readings, cell: str, metric: str) -> Mapping[int, Mapping[Arm, float]]:
    try:
        return readings[cell, metric]
    except KeyError:
        raise Damaged(f"{metric} of {cell} is missing") from None


def _judge_metric(cell: str, metric: str, threshold: Threshold, by_seed: Mapping[int, Mapping[Arm, float]]) -> Finding:
    changes = [arms["head"] - arms["base"] for _, arms in sorted(by_seed.items())]
    base, head = (statistics.median(arms[arm] for arms in by_seed.values()) for arm in ARMS)
    # A threshold of nothing would be reached by no change.
    over = [change > 0 and change >= threshold.reach(arms["base"]) for change, arms in _pair(changes, by_seed)]
    under = [change < 0 and -change >= threshold.reach(arms["base"]) for change, arms in _pair(changes, by_seed)]
    enough = len(changes) >= ENOUGH_SEEDS
    why = ""
    if all(over) and enough:
        word = Word.FAIL
    elif any(over):
        word, why = Word.SUSPECT, f"with {sum(over)} of {len(changes)} hash seeds"
    elif all(under) and enough:
        word = Word.IMPROVED
    else:
        word = Word.PASS
    nearest = min(changes, key=abs)
    return Finding(
        cell=cell,
        metric=metric,
        word=word,
        base=base,
        head=head,
        change=nearest / base if base else None,
        fails_from=threshold.reach(base) / base if base else None,
        changes=tuple(changes),
        why=why,
    )


def _pair(
    changes: Sequence[float], by_seed: Mapping[int, Mapping[Arm, float]]
) -> list[tuple[float, Mapping[Arm, float]]]:
    return [(change, arms) for change, (_, arms) in zip(changes, sorted(by_seed.items()), strict=True)]


def _judge_integrity(cell: str, readings: Readings) -> Iterable[Finding]:
    """Nothing for a cell in which all is well."""
    lost: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
    for metric in LOST:
        for arms in _find_readings(readings, cell, metric).values():
            for arm in ARMS:
                lost[arm] += arms[arm]
    if lost["base"]:
        both = "both arms lose" if lost["head"] else "the base loses"
        why = f"{both} orders, or gives them another outcome than was planned"
        word = Word.NOT_MEASURED
    elif lost["head"]:
        word, why = Word.FAIL, "the head loses orders, or gives them another outcome than was planned"
    else:
        word, why = Word.PASS, ""
    if word is not Word.PASS:
        yield Finding(cell=cell, metric="orders lost", word=word, base=lost["base"], head=lost["head"], why=why)
        return
    for metric, what in zip(ALIKE, ("outcomes of the same orders", "books of the services"), strict=True):
        if any(arms["base"] != arms["head"] for arms in _find_readings(readings, cell, metric).values()):
            yield Finding(cell=cell, metric=metric, word=Word.FAIL, why=f"{what} differ")
