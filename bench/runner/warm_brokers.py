"""Warms brokers before the first trial until an order costs them no less than in the pass before.

A JVM is slow until it has compiled what is used (docs/method.md, "Warm"); what happens between trials as well.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bench.load.locust.control import Master
from bench.profile.schema import CellSettings
from bench.provision.base import Broker
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.trial.broker_warm_up import WarmUpPass, play_warm_up_pass
from bench.trial.context import TrialContext

PASS_S = 8.0
"""How long brokers carry orders in a pass."""
LEAST_PASSES = 2
LEAST_PASSES_OF = {"kafka": 4}
"""A JVM compiles for some 25 s of orders: until then an order costs it about as much in one pass as in the next."""
LEVEL_SHARE = 0.95
"""Of what an order cost in the pass before: costing more than that, a broker is level."""
MAX_ARMS = 6
"""Methods that carry orders at once."""

WarmKey = tuple[Broker, str]
"""A broker, and the level of security at which it was used."""


class PlayPass(Protocol):
    """Plays a pass; see ``play_warm_up_pass``. A test has another."""

    async def __call__(
        self, stage: TrialContext, master: Master, cells: Sequence[CellSettings], number: int, carry_s: float
    ) -> WarmUpPass: ...


class BrokerWarmUp:
    """Knows which brokers are warm. ``say`` is told what warming took."""

    def __init__(
        self, say: Callable[[str], None], doubt: Callable[[Caveat], None], play: PlayPass = play_warm_up_pass
    ) -> None:
        self._say = say
        self._doubt = doubt
        self._play = play
        self._warm: set[WarmKey] = set()
        self._passes = 0

    def is_warm(self, broker: Broker) -> bool:
        """Whether it has carried orders at some level of security."""
        return any(broker == warm for warm, _ in self._warm)

    async def warm(self, stage: TrialContext, master: Master, cells: Iterable[CellSettings], limit_s: float) -> None:
        """Warms what these cells need and nobody used yet, for ``limit_s`` seconds of orders at the most.

        0: not at all. What goes wrong in it will in the trial, which reports it. Raises when the master is gone.
        """
        cold = self._find_cold(stage.brokers, cells)
        if not cold or not limit_s:
            return
        self._warm |= cold.keys()
        each = list({id(cell): cell for cell in cold.values()}.values())
        for first in range(0, len(each), MAX_ARMS):
            await self._warm_together(stage, master, each[first : first + MAX_ARMS], limit_s)

    def _find_cold(self, brokers: Mapping[str, Broker], cells: Iterable[CellSettings]) -> dict[WarmKey, CellSettings]:
        found: dict[WarmKey, CellSettings] = {}
        for cell in cells:
            for name in cell.kind.traits.needs:
                if name in brokers and (key := (brokers[name], cell.profile.security)) not in self._warm:
                    found.setdefault(key, cell)
        return found

    async def _warm_together(
        self, stage: TrialContext, master: Master, cells: Sequence[CellSettings], limit_s: float
    ) -> None:
        begun_s, carry_s = time.monotonic(), min(PASS_S, limit_s / LEAST_PASSES)
        most = max(LEAST_PASSES, int(limit_s / carry_s))
        costs: dict[str, list[float]] = {}
        """CPU of an order in microseconds, by broker and pass."""
        waiting, passes = list(cells), 0
        while waiting and passes < most:
            passes += 1
            self._passes += 1
            done = await self._play(stage, master, waiting, self._passes, carry_s)
            if not done.carried:
                return
            for name, used_us in done.cpu_us_per_order.items():
                costs.setdefault(name, []).append(used_us)
            waiting = [cell for cell in waiting if not _is_level(cell, costs, passes)]
        names = "; ".join(f"{name} {', '.join(f'{us:,.0f}' for us in used)} us" for name, used in costs.items())
        self._say(
            f"brokers warmed in {time.monotonic() - begun_s:.0f} s, {passes} of {most} passes of {carry_s:g} s at the "
            f"most; CPU of an order by pass: {names or 'not known'}"
        )
        falling = {name: 1 - used[-1] / used[-2] for name, used in costs.items() if _is_falling(used)}
        if waiting and falling:
            self._doubt(caveats.broker_not_level(falling, passes * carry_s))


def _is_level(cell: CellSettings, costs: Mapping[str, Sequence[float]], passes: int) -> bool:
    """Whether the brokers of a cell need no further pass; one whose processes are not known gets the least number."""
    needs = cell.kind.traits.needs
    if passes < max(LEAST_PASSES_OF.get(name, LEAST_PASSES) for name in needs):
        return False
    return not any(_is_falling(costs.get(name, ())) for name in needs)


def _is_falling(used_us: Sequence[float]) -> bool:
    return len(used_us) > 1 and used_us[-1] < LEVEL_SHARE * used_us[-2]
