"""Tests how long brokers are warmed, and which."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings
from bench.provision.base import Broker
from bench.results.caveats import Caveat
from bench.runner.warm_brokers import MAX_ARMS, BrokerWarmUp
from bench.trial.broker_warm_up import WarmUpPass
from bench.trial.context import TrialContext

RABBITMQ, KAFKA = (Broker(name, f"{name}:1", "native", "1", (1,)) for name in ("rabbitmq", "kafka"))


class Stage:
    """Plays passes in which an order costs each broker what a list says, pass by pass."""

    def __init__(self, **costs_us: Sequence[float]) -> None:
        self.costs_us = costs_us
        self.played: list[list[str]] = []
        self.carried_s: list[float] = []
        self.said: list[str] = []
        self.doubts: list[Caveat] = []
        self.brokers = {"rabbitmq": RABBITMQ, "kafka": KAFKA}
        self.warm_up = BrokerWarmUp(self.said.append, self.doubts.append, self._play)

    async def _play(
        self, stage: object, master: object, cells: Sequence[CellSettings], number: int, carry_s: float
    ) -> WarmUpPass:
        at = len(self.played)
        self.played.append([cell.name for cell in cells])
        self.carried_s.append(carry_s)
        known = {name: costs[min(at, len(costs) - 1)] for name, costs in self.costs_us.items()}
        return WarmUpPass(carried=bool(known), cpu_us_per_order=known)

    async def warm(self, cells: Sequence[CellSettings], limit_s: float = 40.0) -> None:
        stage = cast(TrialContext, SimpleNamespace(brokers=self.brokers))
        await self.warm_up.warm(stage, cast(Any, None), cells, limit_s)


def cells(**settings: str) -> list[CellSettings]:
    return expand_cells(load_profile(settings={"TRANSPORT": "rest,broker,events", **settings}))


async def test_brokers_carry_orders_at_once_and_each_until_it_is_level() -> None:
    stage = Stage(rabbitmq=[2000, 1990], kafka=[6000, 5900, 3000, 2600, 2500, 2450])
    await stage.warm(cells())
    # Kafka's first two passes are as dear, since a JVM still compiles: it gets four in any case.
    assert stage.played == [["broker", "events"]] * 2 + [["events"]] * 3
    assert stage.carried_s == [8.0] * 5
    assert len(stage.said) == 1
    assert stage.doubts == []


async def test_a_broker_that_is_not_level_at_the_limit_is_a_doubt_with_the_share() -> None:
    stage = Stage(rabbitmq=[2000], kafka=[6000, 5500, 5000, 4000])
    await stage.warm(cells(), limit_s=32)
    assert len(stage.played) == 4
    (doubt,) = stage.doubts
    assert (doubt.name, doubt.size) == ("broker-not-level", pytest.approx(0.2))


async def test_what_is_warm_is_not_warmed_again_and_another_level_of_security_is() -> None:
    stage = Stage(rabbitmq=[2000], kafka=[2000])
    await stage.warm(cells())
    await stage.warm(cells())
    assert len(stage.played) == 4
    await stage.warm(cells(SECURITY="tls"))
    assert len(stage.played) == 8


async def test_a_broker_that_was_started_again_is_cold() -> None:
    stage = Stage(rabbitmq=[2000], kafka=[2000])
    await stage.warm(cells())
    stage.brokers["kafka"] = Broker("kafka", "kafka:2", "native", "1", (2,))
    await stage.warm(cells())
    assert stage.played[4:] == [["events"]] * 4


@pytest.mark.parametrize(("limit_s", "carried_s"), [(0.0, []), (0.5, [0.25, 0.25]), (9.0, [4.5, 4.5])])
async def test_a_short_limit_makes_short_passes(limit_s: float, carried_s: list[float]) -> None:
    stage = Stage(rabbitmq=[3000, 2000], kafka=[2000])
    await stage.warm(cells(), limit_s)
    assert stage.carried_s == carried_s


async def test_a_method_that_carries_nothing_ends_the_warm_up_and_its_trial_says_why() -> None:
    stage = Stage()
    await stage.warm(cells())
    assert len(stage.played) == 1
    assert (stage.said, stage.doubts) == ([], [])


async def test_a_chain_needs_none() -> None:
    stage = Stage(rabbitmq=[1])
    await stage.warm(expand_cells(load_profile(settings={"TRANSPORT": "rest,grpc"})))
    assert stage.played == []


async def test_more_methods_than_fit_are_warmed_in_turn() -> None:
    stage = Stage(rabbitmq=[2000], kafka=[2000])
    each = [cell for level in ("none", "tls", "mtls", "auth") for cell in cells(SECURITY=level)]
    await stage.warm(each)
    assert max(map(len, stage.played)) == MAX_ARMS
    assert sum(len(names) == 2 for names in stage.played[:2]) == 0
    assert len(stage.played) == 8
