"""Fixtures that every kind of test may use."""

import dataclasses

import pytest

from shop.catalogue import NAMES, PRICES_CENTS
from shop.messages import Line, Order, PlaceOrder
from shop.payments import GOOD_CARD


def an_order(order_id: str = "order-1", **changes: object) -> Order:
    """A small order that ships, with ``changes``."""
    sku = "SKU-0003"
    line = Line(sku, NAMES[sku], 2, PRICES_CENTS[sku])
    order = Order(order_id, "user-0001", GOOD_CARD, "3 Canal Street, Leiden", (line,))
    return dataclasses.replace(order, **changes)  # type: ignore[arg-type]


@pytest.fixture
def place_order() -> PlaceOrder:
    return PlaceOrder(an_order())
