"""Tests that each bare chain carries orders as a transport does, on real servers."""

import itertools
import os
from collections.abc import Mapping

import pytest

from bench.provision.ports import find_free_ports
from shop.messages import Order, PlaceOrder
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import build_place_order, run_shop
from transports.errors import TooLarge
from transports.registry import list_transports, load_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker]

CHAINS = ("bare-rest", "bare-grpc", "bare-broker", "bare-events")
_trials = (f"yardstick-{os.getpid()}-{number}" for number in itertools.count())


def build_chain(name: str, servers: Mapping[str, str], **changes: int) -> Transport:
    kind = load_transport(name)
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    setting = Setting(trial=next(_trials), addresses=addresses, servers=servers, codec=kind.traits.codec, **changes)
    return kind(setting)


@pytest.mark.parametrize("name", CHAINS)
async def test_an_order_comes_back_shipped_and_no_service_has_seen_it(name: str, servers: Mapping[str, str]) -> None:
    async with run_shop(build_chain(name, servers)) as shop:
        for number in range(3):
            order = build_place_order(f"order-{number}")
            receipt = await shop.client.submit(order)
            finished = await receipt.finished
            assert (finished.outcome.status, finished.outcome.order) == ("shipped", order.order)
            assert receipt.accepted_ns == finished.at_ns
        assert all(not any(tally.count for tally in one.audit().values()) for one in shop.services.values())


@pytest.mark.parametrize("name", CHAINS)
async def test_an_order_over_the_limit_is_refused_before_it_is_sent(name: str, servers: Mapping[str, str]) -> None:
    async with run_shop(build_chain(name, servers, max_message_bytes=8192)) as shop:
        small = build_place_order().order
        large = PlaceOrder(Order("large", small.user_id, small.card, small.address, small.lines, bytes(8192)))
        with pytest.raises(TooLarge):
            await shop.client.submit(large)
        assert (await (await shop.client.submit(build_place_order())).finished).outcome.status == "shipped"


def test_bare_chains_stand_in_no_list_of_methods() -> None:
    assert set(CHAINS) & set(list_transports()) == set()
    assert all(not load_transport(name).traits.runs_shop for name in CHAINS)
    assert all(load_transport(name).traits.runs_shop for name in list_transports())
