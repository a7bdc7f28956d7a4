"""Times both revisions in duels, method by method, within the budget that was asked for."""

from collections.abc import Callable, Mapping, Sequence

from bench.provision.base import Broker, Say, Unavailable
from bench.regress.duel_schedule import LOADED, LOADED_FROM_S, DuelPlace, DuelPlayer
from bench.regress.duel_set import DuelMethod
from bench.regress.judge import Word
from bench.regress.judge_sets import SetRow, Timed
from bench.regress.replays import ArmTree
from bench.regress.thresholds import Gates
from bench.regress.verdict import LeftOut
from transports.registry import load_transport

LOAD_PER_S = 100.0
"""Of both arms together, in sets with load: two sets of services carry some 250 on two cores."""
BROKER_CPU = "cpu_us_broker"


async def time_methods(
    methods: Sequence[str],
    gates: Gates,
    budget_s: float,
    arms: tuple[ArmTree, ArmTree],
    brokers: Mapping[str, Broker | Unavailable],
    place: DuelPlace,
    say: Say,
    keep: Callable[[Sequence[SetRow]], None],
) -> tuple[Timed, list[SetRow], list[LeftOut]]:
    """Times these methods; returns what their verdict takes, all rows, and what was not timed, with the reasons.

    ``keep`` is given all rows after each set. Raises UsageError for a budget that is too small.
    """
    chosen, left_out = {}, []
    for name in methods:
        kind = load_transport(name)
        used = [brokers[need] for need in sorted(kind.traits.needs)]
        if kind.traits.in_process:
            why = "its services live in the process of its client"
            left_out.append(LeftOut(cell=name, metric="times", word=Word.NOT_MEASURED, why=why))
            continue
        sees_broker = all(isinstance(one, Broker) and one.pids for one in used)
        if used and not sees_broker:
            why = "the processes of its broker are not known here, nor whether other programs disturb a set"
            left_out.append(LeftOut(cell=name, metric=BROKER_CPU, word=Word.NOT_MEASURED, why=why))
        chosen[name] = DuelMethod(
            name=name,
            kind=kind,
            servers={one.name: one.url for one in used if isinstance(one, Broker)},
            broker_pids=[pid for one in used if isinstance(one, Broker) for pid in one.pids],
            sees_broker=sees_broker,
            load_per_s=LOAD_PER_S,
        )
    is_loaded = budget_s >= LOADED_FROM_S
    thresholds = {
        name: {
            metric: threshold
            for metric, threshold in gates.timed_thresholds(name).items()
            if (is_loaded or not metric.endswith(LOADED)) and (chosen[name].sees_broker or metric != BROKER_CPU)
        }
        for name in chosen
    }
    if chosen and not is_loaded:
        why = f"sets have load from BUDGET={LOADED_FROM_S / 60:.0f}m on; what shows under load alone was not looked for"
        left_out += [LeftOut(cell=name, metric="times under load", word=Word.NOT_MEASURED, why=why) for name in chosen]
    if not chosen:
        return Timed(budget_s=budget_s, thresholds={}, rows=0), [], left_out
    player = DuelPlayer(arms, chosen, place, say, keep)
    played = await player.play(thresholds, budget_s)
    keep(played.rows)
    timed = Timed(
        budget_s=budget_s,
        thresholds=thresholds,
        troubles=played.troubles,
        unmeasured=played.unmeasured,
        rows=len(played.rows),
    )
    return timed, played.rows, left_out
