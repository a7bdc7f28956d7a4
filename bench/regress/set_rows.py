"""Makes the rows of sets.csv: of each set of a duel, each measure of both arms and the ratio of HEAD to BASE."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from statistics import median
from typing import Any

from bench.regress.duel_set import MOST_TURNS_S, ArmOutcome, DuelSet
from bench.regress.judge_sets import SetKind, SetRow
from bench.stats.quantiles import quantile_rank, samples_needed
from shop.workflow import SERVICES

P50, P90, P99 = Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)


def build_rows(method: str, set_: int, kind: SetKind, played: DuelSet) -> list[SetRow]:
    """Builds the rows of a set; a measure that an arm does not have, or that is 0, has none."""
    found: dict[str, tuple[float, float, float]] = {}
    for name, key in (("finish", "finished_us"), ("accept", "accepted_us")):
        pairs = _pair_orders(played.base.turns[key], played.head.turns[key])
        bases, heads = [base for base, _ in pairs], [head for _, head in pairs]
        if len(pairs) >= samples_needed(P50):
            found[f"{name}_p50_us"] = (median(bases), median(heads), median(head / base for base, head in pairs))
        if len(pairs) >= samples_needed(P90):
            found[f"{name}_p90_us"] = _compare(_quantile(bases, P90), _quantile(heads, P90))
    for name, (base, head) in _list_costs(played.base, played.head).items():
        if base > 0 and head > 0:
            found[name] = _compare(base, head)
    if played.base.load is not None and played.head.load is not None:
        loads = [[one for one in arm["finished_us"] if one is not None] for arm in (played.base.load, played.head.load)]
        if min(map(len, loads)) >= samples_needed(P99):
            found["finish_p50_us_loaded"] = _compare(*(_quantile(one, P50) for one in loads))
            found["finish_p99_us_loaded"] = _compare(*(_quantile(one, P99) for one in loads))
    return [
        SetRow(
            method=method,
            set=set_,
            kind=kind,
            void=played.is_void,
            background_cores=round(played.background_cores, 4),
            metric=metric,
            base=base,
            head=head,
            ratio=ratio,
        )
        for metric, (base, head, ratio) in found.items()
    ]


def find_troubles(played: DuelSet) -> Iterator[tuple[str, str]]:
    """Yields for each arm, "base" or "head", what its orders and its books say against it."""
    for name, arm in (("base", played.base), ("head", played.head)):
        last = arm.turns if arm.load is None else arm.load
        if last["failed"]:
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(last["failures"].items()))
            yield name, f"{last['failed']} of {last['placed']} orders failed ({kinds})"
        if last["unexpected"]:
            yield name, f"{last['unexpected']} of {last['placed']} orders had another outcome than was planned"
        if arm.load is not None and arm.load["unfinished"]:
            yield name, f"{arm.load['unfinished']} orders did not finish"
        taken, shipped = _count(arm.audits, "payment", "payment-taken"), _count(arm.audits, "shipping", "order-shipped")
        if taken != shipped:
            yield name, f"{taken} orders were charged and {shipped} shipped"
    yield from _find_too_slow(played)


def _find_too_slow(played: DuelSet) -> Iterator[tuple[str, str]]:
    """Yields the slower arm where so few orders took their turn that no median is told."""
    base, head = played.base.turns["finished_us"], played.head.turns["finished_us"]
    if len(_pair_orders(base, head)) < samples_needed(P50):
        arms = {"base": base, "head": head}
        times = {name: [one for one in took if one is not None] for name, took in arms.items()}
        slowest = max(times, key=lambda name: median(times[name]) if times[name] else math.inf)
        yield slowest, f"too few orders finished in {MOST_TURNS_S:g} s of turns to tell a median"


def _count(audits: Mapping[str, Any], service: str, kind: str) -> int:
    return int(audits[service]["tallies"].get(kind, {}).get("count", 0))


def _list_costs(base: ArmOutcome, head: ArmOutcome) -> dict[str, tuple[float, float]]:
    """Costs of an order in the turns, by metric."""
    orders = [max(1, len(arm.turns["finished_us"])) for arm in (base, head)]
    arms = (base, head)

    def each(total_us: Sequence[float]) -> tuple[float, float]:
        return total_us[0] / orders[0], total_us[1] / orders[1]

    return {
        "cpu_us_services": each([sum(arm.cpu_us.values()) for arm in arms]),
        **{f"cpu_us_{name}": each([arm.cpu_us[name] for arm in arms]) for name in SERVICES},
        "cpu_us_client": each([arm.turns["client_cpu_us"] for arm in arms]),
        "cpu_us_broker": each([arm.turns["broker_cpu_us"] for arm in arms]),
    }


def _pair_orders(base: Sequence[float | None], head: Sequence[float | None]) -> list[tuple[float, float]]:
    """Orders of the same turn; one that failed in either arm is in no pair."""
    return [(a, b) for a, b in zip(base, head, strict=False) if a is not None and b is not None]


def _compare(base: float, head: float) -> tuple[float, float, float]:
    return base, head, head / base


def _quantile(values: Sequence[float], quantile: Fraction) -> float:
    return sorted(values)[quantile_rank(quantile, len(values)) - 1]
