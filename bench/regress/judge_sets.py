"""Judges the sets of a duel: numbers in, findings out.

The unit is the set of fresh processes: orders of one set share its luck. What looks suspicious on the screen is played
again in fresh sets, and these alone decide.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec

from bench.regress.judge import Finding, Threshold, Word
from bench.stats.holm import adjust_chances
from bench.stats.t_test import TTest, t_test

SetKind = Literal["screen", "control", "confirm"]
"""A control has BASE in both arms; a confirmation is of what was suspicious on the screen."""
SUSPICIOUS_P = 0.05
SUSPICIOUS_SHARE = 0.5
"""A change is suspicious from this part of its threshold on, if chance alone brings it in 5 of 100 runs or fewer."""
CONFIRMED_P = 0.01
"""Adjusted for the number of metrics that were played again."""
CONTROL_P = 0.01
"""The same, over all controls of a run."""
MIN_SETS = 4
UNFINISHED = -1
MAX_VOID_SHARE = 0.25
BLIND = 2.0
"""A metric is inconclusive where the smallest change that could be seen is more than so many thresholds."""

Thresholds = Mapping[str, Mapping[str, Threshold]]
"""By method and metric."""


class SetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of sets.csv. ``ratio`` is of HEAD to BASE: of times the median over pairs of orders."""

    method: str
    set: int
    kind: SetKind
    void: bool
    background_cores: float
    metric: str
    base: float
    head: float
    ratio: float


def find_suspicious_sets(thresholds: Thresholds, rows: Sequence[SetRow]) -> list[tuple[str, str]]:
    """Returns each method and metric that has to be played again, the most improbable by chance first."""
    found = {}
    for method, metrics in thresholds.items():
        for metric, threshold in metrics.items():
            test = t_test(_take_logs(rows, method, metric, "screen"))
            if test is not None and test.n >= MIN_SETS and _is_suspicious(test, threshold):
                found[method, metric] = test.p_above
    return sorted(found, key=lambda key: found[key])


def judge_sets(thresholds: Thresholds, rows: Sequence[SetRow]) -> list[Finding]:
    """Returns a finding for each metric of each method in ``thresholds``."""
    again = {
        (method, metric): test
        for method, metrics in thresholds.items()
        for metric in metrics
        if (test := t_test(_take_logs(rows, method, metric, "confirm"))) is not None
    }
    suspicious = [key for key in find_suspicious_sets(thresholds, rows) if key in again]
    adjusted = dict(zip(suspicious, adjust_chances([again[key].p_above for key in suspicious]), strict=True))
    return [
        _judge(rows, method, metric, threshold, again.get((method, metric)), adjusted.get((method, metric)))
        for method, metrics in thresholds.items()
        for metric, threshold in metrics.items()
    ]


def find_moved_controls(thresholds: Thresholds, rows: Sequence[SetRow]) -> list[str]:
    """Returns a phrase for each metric that moved between two arms of BASE by half its threshold, and not by chance.

    Controls are few, so that they are held against the scatter of the screen's sets.
    """
    moved: list[tuple[str, bool, float]] = []
    for method, metrics in thresholds.items():
        for metric, threshold in metrics.items():
            control, screen = (_take_logs(rows, method, metric, kind) for kind in ("control", "screen"))
            if not control or len(screen) < MIN_SETS:
                continue
            mean = math.fsum(control) / len(control)
            middle = math.fsum(screen) / len(screen)
            # The same scatter around the control's mean, as if the screen's sets had been as many controls.
            stretch = math.sqrt(len(screen) / len(control))
            test = t_test([mean + (one - middle) * stretch for one in screen])
            if test is not None:
                is_far = abs(mean) >= SUSPICIOUS_SHARE * math.log1p(threshold.share)
                said = f"{method}, {metric} {math.expm1(mean):+.1%}"
                moved.append((said, is_far, 2 * min(test.p_above, test.p_below)))
    adjusted = adjust_chances([p for *_, p in moved])
    return [said for (said, is_far, _), p in zip(moved, adjusted, strict=True) if is_far and p <= CONTROL_P]


def measure_void_share(rows: Sequence[SetRow]) -> float:
    """Returns the share of sets that other programs disturbed."""
    sets = {(row.method, row.kind, row.set): row.void for row in rows}
    return sum(sets.values()) / len(sets) if sets else 0.0


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan says of the duels: all that their verdict takes beside sets.csv."""

    budget_s: float
    thresholds: Mapping[str, Mapping[str, Threshold]]
    """By method and metric, of what was timed."""
    troubles: Mapping[str, Mapping[str, str]] = {}
    """By method and arm, what its orders and books say against it."""
    rows: int = UNFINISHED
    """Of sets.csv; UNFINISHED while sets are played."""
    unmeasured: Mapping[str, str] = {}
    """Methods of which an arm could not be played, each with the reason."""


def judge_timed(timed: Timed, rows: Sequence[SetRow]) -> tuple[list[Finding], list[str]]:
    """Returns the findings of the duels, and phrases that say why nothing is concluded from them.

    Orders and books come first, then whether two arms of BASE differ, then times.
    """
    if timed.rows != len(rows):
        why = "they were stopped" if timed.rows == UNFINISHED else f"{len(rows)} rows of {timed.rows} are there"
        return [], [f"the sets are not whole: {why}; measure again"]
    found, unfit = [], [f"{method} could not be timed: {why}" for method, why in timed.unmeasured.items()]
    fit = {method: metrics for method, metrics in timed.thresholds.items() if method not in timed.unmeasured}
    for method, of_arm in timed.troubles.items():
        if "base" in of_arm:
            unfit.append(f"{method}: in the base {of_arm['base']}")
            fit.pop(method, None)
        else:
            found.append(Finding(cell=method, metric="orders in turns", word=Word.FAIL, why=of_arm["head"]))
    unfit_all = []
    if (share := measure_void_share(rows)) > MAX_VOID_SHARE:
        unfit_all.append(f"other programs disturbed {share:.0%} of the sets")
    if moved := find_moved_controls(timed.thresholds, rows):
        unfit_all.append(f"two arms of the base differ: {', '.join(moved)}")
    if not unfit_all:
        found += judge_sets(fit, rows)
    return found, [*unfit, *unfit_all]


def _judge(
    rows: Sequence[SetRow],
    method: str,
    metric: str,
    threshold: Threshold,
    again: TTest | None,
    adjusted_p: float | None,
) -> Finding:
    screen = t_test(_take_logs(rows, method, metric, "screen"))
    if screen is None or screen.n < MIN_SETS:
        count = len(_take_logs(rows, method, metric, "screen"))
        why = f"{count} whole sets, {MIN_SETS} are needed"
        return Finding(cell=method, metric=metric, word=Word.INCONCLUSIVE, why=why, is_time=True)
    bases = [row.base for row in rows if (row.method, row.metric) == (method, metric) and not row.void]
    base = median(bases)
    shown = screen
    if not _is_suspicious(screen, threshold):
        word, why = _judge_calm(screen, threshold)
    elif again is None or adjusted_p is None:
        word, why = Word.SUSPECT, "there was no time to play it again"
    else:
        shown = again
        enough = again.n >= MIN_SETS
        if enough and adjusted_p <= CONFIRMED_P and _reaches(again.mean, threshold, base):
            word, why = Word.FAIL, f"confirmed by {again.n} fresh sets"
        elif enough and again.high < math.log1p(threshold.share):
            word, why = Word.PASS, f"suspicious at first, cleared by {again.n} fresh sets"
        else:
            word, why = Word.SUSPECT, f"{again.n} fresh sets neither confirm nor clear it"
    return Finding(
        cell=method,
        metric=metric,
        word=word,
        base=base,
        head=base * math.exp(shown.mean),
        change=math.expm1(shown.mean),
        low=math.expm1(shown.low),
        high=math.expm1(shown.high),
        fails_from=math.expm1(max(shown.smallest, math.log1p(threshold.share))),
        sets=shown.n,
        is_time=True,
        why=why,
    )


def _judge_calm(screen: TTest, threshold: Threshold) -> tuple[Word, str]:
    if screen.p_below <= CONFIRMED_P and screen.mean <= -math.log1p(threshold.share):
        return Word.IMPROVED, ""
    if screen.smallest > BLIND * math.log1p(threshold.share):
        return Word.INCONCLUSIVE, f"a change of less than {math.expm1(screen.smallest):.1%} may not be seen"
    return Word.PASS, ""


def _is_suspicious(test: TTest, threshold: Threshold) -> bool:
    return test.p_above <= SUSPICIOUS_P and test.mean >= SUSPICIOUS_SHARE * math.log1p(threshold.share)


def _reaches(mean: float, threshold: Threshold, base: float) -> bool:
    return mean >= math.log1p(threshold.share) and math.expm1(mean) * base >= threshold.least


def _take_logs(rows: Sequence[SetRow], method: str, metric: str, kind: SetKind) -> list[float]:
    wanted = (method, metric, kind)
    return [math.log(row.ratio) for row in rows if (row.method, row.metric, row.kind) == wanted and not row.void]
