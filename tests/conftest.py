"""Fixtures and builders shared by all tests."""

import dataclasses
import os
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from hypothesis import settings

from bench.paths import STATE
from bench.provision import Broker, provide_brokers
from bench.provision.brokers import URL_VARIABLES
from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES
from shop.messages import Order, OrderLine, PlaceOrder
from shop.payments import GOOD_CARD

# The same examples in every run, and no limit on how long one takes: a slow machine is no defect.
settings.register_profile("fourways", derandomize=True, deadline=None)
settings.load_profile("fourways")

HOME = STATE


def build_order(order_id: str = "order-1", **changes: object) -> Order:
    """Returns a small order that will be shipped, with ``changes``."""
    sku = "SKU-0003"
    line = OrderLine(sku, PRODUCT_NAMES[sku], 2, PRICES_CENTS[sku])
    order = Order(order_id, "user-0001", GOOD_CARD, "3 Canal Street, Leiden", (line,))
    return dataclasses.replace(order, **changes)  # type: ignore[arg-type]


@pytest.fixture
def place_order() -> PlaceOrder:
    return PlaceOrder(build_order())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[Mapping[str, str]]:
    """URLs of real brokers: those of `make up`, or ones started for this session."""
    given = {name: os.environ[variable] for name, variable in URL_VARIABLES.items() if os.environ.get(variable)}
    async with provide_brokers(URL_VARIABLES, given=given, home=HOME, say=lambda _: None) as found:
        for broker in found.values():
            assert isinstance(broker, Broker), broker
        yield {name: broker.url for name, broker in found.items() if isinstance(broker, Broker)}
