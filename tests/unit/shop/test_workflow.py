"""Whose turn it is, from the order to its outcome."""

from collections import Counter
from pathlib import Path

from shop.catalogue import PLENTY, PRICES_CENTS, SOLD_OUT_SKU
from shop.factory import open_service
from shop.messages import MESSAGES, OrderClosed, PlaceOrder
from shop.payments import DECLINED_CARD
from shop.shipping import tracking_number
from shop.workflow import SERVICES, consumed_by, is_onward
from tests.conftest import an_order
from tests.unit.shop.builders import SKU, an_order_of, books, four, walk


def test_the_services_stand_in_the_order_of_the_chain() -> None:
    assert SERVICES == ("user", "product", "payment", "shipping")
    assert [is_onward("product", other) for other in SERVICES] == [False, False, True, True]


def test_every_message_but_the_outcome_has_one_consumer_that_handles_it() -> None:
    handled = {name: set(open_service(name).handlers()) for name in SERVICES}
    assert handled == {name: set(consumed_by(name)) for name in SERVICES}
    assert Counter(kind for kinds in handled.values() for kind in kinds) == Counter(set(MESSAGES) - {OrderClosed})


def test_an_order_that_ships_goes_through_all_four() -> None:
    services = four()
    closed = walk(services, PlaceOrder(an_order()))
    assert (closed.status, closed.total_cents) == ("shipped", 2 * PRICES_CENTS[SKU])
    assert closed.tracking_number == tracking_number("order-1")
    assert {n: {f: t.count for f, t in s.audit().items()} for n, s in services.items()} == {
        "user": {"order-placed": 1, "shipped": 1},
        "product": {"stock-reserved": 1},
        "payment": {"payment-taken": 1},
        "shipping": {"order-shipped": 1},
    }


def test_a_declined_order_never_reaches_shipping_and_leaves_the_stock_as_it_was() -> None:
    services = four()
    closed = walk(services, PlaceOrder(an_order(card=DECLINED_CARD)))
    assert (closed.status, closed.reason, closed.total_cents) == ("rejected", "the card was declined", 0)
    assert services["product"].store.quantity(SKU) == PLENTY
    assert not services["shipping"].audit()


def test_a_sold_out_order_never_reaches_payment() -> None:
    services = four()
    assert walk(services, PlaceOrder(an_order_of((SOLD_OUT_SKU, 1)))).status == "rejected"
    assert not services["payment"].audit()


def test_a_probe_is_answered_and_leaves_no_trace(tmp_path: Path) -> None:
    services = {name: open_service(name, folder=tmp_path) for name in SERVICES}
    before = {name: books(service) for name, service in services.items()}
    assert walk(services, PlaceOrder(an_order("probe-1"))).status == "shipped"
    assert {name: books(service) for name, service in services.items()} == before
    assert services["product"].store.quantity(SKU) == PLENTY
    assert not [kept for service in services.values() for kept in service.store.decisions()]
    for service in services.values():
        service.store.close()
