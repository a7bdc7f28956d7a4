"""Plays the sets of all duels within a budget: a screen with controls, then fresh sets of what looks suspicious."""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.errors import Unmeasured, UsageError
from bench.regress.duel_set import DuelMethod, DuelSet, play_set
from bench.regress.judge_sets import MAX_VOID_SHARE, MIN_SETS, SetKind, SetRow, Thresholds, find_suspicious_sets
from bench.regress.replays import ArmTree
from bench.regress.set_rows import build_rows, find_troubles

SCREEN_SHARE = 0.6
"""Of the budget; the rest is for confirmations."""
SET_S, LOADED_SET_S = 9.0, 26.0
"""How long a set takes for the plan; quiet ones were seen to take 6.5 to 8.5 s."""
CONTROL_EVERY = 6
"""One set in so many has BASE in both arms."""
MIN_SCREEN = MIN_SETS + 1
"""With a control among them."""
MAX_SCREEN, MAX_CONFIRM = 60, 40
MAX_CONFIRMED = 4
"""So many methods and metrics are played again at the most, the most improbable by chance."""
LOADED = "_loaded"
"""The end of the names of metrics under load."""
LOADED_FROM_S = 20 * 60.0
"""The budget from which on sets have load."""

Say = Callable[[str], None]
Keep = Callable[[Sequence[SetRow]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duels:
    """What was played: all rows, and by method what the orders and books of an arm say against it."""

    rows: list[SetRow] = field(default_factory=list)
    troubles: dict[str, dict[str, str]] = field(default_factory=dict)
    """By method and arm, the first of each."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Methods of which an arm could not be played, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelPlace:
    """Where duels are played."""

    id: str
    """Unique on the brokers."""
    orders: Path
    folder: Path
    logs: Path
    seed: int


def plan_screen(budget_s: float, methods: int) -> int:
    """Returns how many sets of each method the screen has, controls among them. Raises UsageError for too few."""
    set_s = (SET_S + LOADED_SET_S) / 2 if budget_s >= LOADED_FROM_S else SET_S
    sets = int(SCREEN_SHARE * budget_s / set_s / methods)
    if sets < MIN_SCREEN:
        needed_min = math.ceil(MIN_SCREEN * set_s * methods / SCREEN_SHARE / 60)
        raise UsageError(
            f"a budget of {budget_s / 60:.3g} min has time for {sets} sets of each of {methods} methods, and "
            f"{MIN_SCREEN} are needed; give BUDGET={needed_min}m or more, or fewer methods in TRANSPORT=",
            code="budget-too-small",
        )
    return min(sets, MAX_SCREEN)


def is_control(number: int) -> bool:
    """Returns whether the set of this number has BASE in both arms: the third of every six."""
    return number % CONTROL_EVERY == CONTROL_EVERY // 2


def is_loaded(number: int) -> bool:
    """Returns whether the set of this number has load, where any has: each second one, and each second control."""
    return number % 2 == 0 or number % (2 * CONTROL_EVERY) == CONTROL_EVERY // 2


def list_screen(methods: Sequence[str], sets: int, seed: int) -> Iterator[tuple[str, int, SetKind]]:
    """Yields method, number and kind of each set: each method once in a round, in shuffled order."""
    for number in range(1, sets + 1):
        kind: SetKind = "control" if is_control(number) else "screen"
        for method in random.Random(f"{seed}:{number}").sample(methods, len(methods)):
            yield method, number, kind


class DuelPlayer:
    """Plays duels and keeps their rows as they come."""

    def __init__(
        self,
        arms: tuple[ArmTree, ArmTree],
        methods: Mapping[str, DuelMethod],
        place: DuelPlace,
        say: Say,
        keep: Keep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``arms`` are BASE and HEAD; ``keep`` is given all rows after each set."""
        self._arms = arms
        self._methods = methods
        self._place = place
        self._say = say
        self._keep = keep
        self._clock = clock
        self._numbers = itertools.count(1)
        self.played = Duels()

    async def play(self, thresholds: Thresholds, budget_s: float) -> Duels:
        """Plays the screen, and then again what it shows, until the budget is over."""
        began_s = self._clock()
        methods = list(self._methods)
        sets = plan_screen(budget_s, len(methods))
        self._say(f"{sets} sets of each of {', '.join(methods)}, then fresh sets of what looks suspicious")
        until_s = began_s + SCREEN_SHARE * budget_s
        for method, number, kind in list_screen(methods, sets, self._place.seed):
            is_due = number > MIN_SCREEN and self._clock() > until_s
            if method not in self.played.unmeasured and not is_due:
                loaded = budget_s >= LOADED_FROM_S and is_loaded(number)
                await self._play_whole(method, kind, loaded=loaded)
        await self._confirm(thresholds, began_s + budget_s)
        return self.played

    async def _confirm(self, thresholds: Thresholds, until_s: float) -> None:
        chosen = find_suspicious_sets(thresholds, self.played.rows)[:MAX_CONFIRMED]
        if not chosen:
            return
        named = ", ".join(f"{metric} of {method}" for method, metric in chosen)
        self._say(f"played again with fresh processes: {named}")
        methods = list(dict.fromkeys(method for method, _ in chosen))
        loaded = {method for method, metric in chosen if metric.endswith(LOADED)}
        late = 0
        for _ in range(MAX_CONFIRM):
            left = [method for method in methods if method not in self.played.unmeasured]
            if self._clock() > until_s:
                late += 1
                if late > MIN_SETS or all(self._count(method, "confirm") >= MIN_SETS for method in left):
                    return
            for method in left:
                await self._play_whole(method, "confirm", loaded=method in loaded)

    def _count(self, method: str, kind: SetKind) -> int:
        return len({row.set for row in self.played.rows if (row.method, row.kind, row.void) == (method, kind, False)})

    async def _play_whole(self, method: str, kind: SetKind, *, loaded: bool) -> None:
        """Plays a set, and once more where other programs disturbed it, as long as few were."""
        if await self._play(method, kind, loaded=loaded):
            return
        void = len({row.set for row in self.played.rows if row.void})
        every = len({row.set for row in self.played.rows})
        if void <= MAX_VOID_SHARE * every + 1:
            await self._play(method, kind, loaded=loaded)

    async def _play(self, name: str, kind: SetKind, *, loaded: bool) -> bool:
        """Plays a set and keeps its rows. Returns whether it was undisturbed, or cannot be played at all."""
        number = next(self._numbers)
        base, head = self._arms
        method = self._methods[name] if loaded else replace(self._methods[name], load_per_s=0.0)
        try:
            played = await play_set(
                (base, base if kind == "control" else head),
                method,
                name=f"{self._place.id}d{number}",
                seed=self._place.seed + number,
                orders=self._place.orders,
                folder=self._place.folder,
                logs=self._place.logs,
            )
        except Unmeasured as error:
            self.played.unmeasured[name] = str(error)
            self._say(str(error))
            return True
        if not played.is_void:  # what other programs starve may time out
            self._note_troubles(name, kind, played)
        rows = build_rows(name, number, kind, played)
        self.played.rows.extend(rows)
        self._keep(self.played.rows)
        told = next((f"p50 {row.ratio:.3f}" for row in rows if row.metric == "finish_p50_us"), "no pair finished")
        void = ", void: other programs were busy" if played.is_void else ""
        self._say(f"set {number}, {name}, {kind}: {told}, {played.took_s:.1f} s{void}")
        return not played.is_void

    def _note_troubles(self, name: str, kind: SetKind, played: DuelSet) -> None:
        for arm, trouble in find_troubles(played):
            whose = "base" if kind == "control" else arm
            self.played.troubles.setdefault(name, {}).setdefault(whose, trouble)
