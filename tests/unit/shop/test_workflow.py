"""Tests which service consumes each message, from order to outcome."""

from collections import Counter
from pathlib import Path

from shop.catalogue import PRICES_CENTS, SOLD_OUT_SKU, UNLIMITED_STOCK
from shop.factory import open_service
from shop.messages import MESSAGES, OrderClosed, PlaceOrder
from shop.payments import DECLINED_CARD
from shop.shipping import build_tracking_number
from shop.workflow import SERVICES, is_downstream, list_consumed_types
from tests.conftest import build_order
from tests.unit.shop.builders import SKU, build_order_with_lines, open_all_services, read_books, run_workflow


def test_the_services_stand_in_the_order_of_the_chain() -> None:
    assert SERVICES == ("user", "product", "payment", "shipping")
    assert [is_downstream("product", other) for other in SERVICES] == [False, False, True, True]


def test_every_message_but_the_outcome_has_one_consumer_that_handles_it() -> None:
    handled = {name: set(open_service(name).handlers()) for name in SERVICES}
    assert handled == {name: set(list_consumed_types(name)) for name in SERVICES}
    assert Counter(kind for kinds in handled.values() for kind in kinds) == Counter(set(MESSAGES) - {OrderClosed})


def test_an_order_that_ships_goes_through_all_four() -> None:
    services = open_all_services()
    closed = run_workflow(services, PlaceOrder(build_order()))
    assert (closed.status, closed.total_cents) == ("shipped", 2 * PRICES_CENTS[SKU])
    assert closed.tracking_number == build_tracking_number("order-1")
    assert {n: {f: t.count for f, t in s.audit().items()} for n, s in services.items()} == {
        "user": {"order-placed": 1, "shipped": 1},
        "product": {"stock-reserved": 1},
        "payment": {"payment-taken": 1},
        "shipping": {"order-shipped": 1},
    }


def test_a_declined_order_never_reaches_shipping_and_leaves_the_stock_as_it_was() -> None:
    services = open_all_services()
    closed = run_workflow(services, PlaceOrder(build_order(card=DECLINED_CARD)))
    assert (closed.status, closed.reason, closed.total_cents) == ("rejected", "the card was declined", 0)
    assert services["product"].store.quantity(SKU) == UNLIMITED_STOCK
    assert not services["shipping"].audit()


def test_a_sold_out_order_never_reaches_payment() -> None:
    services = open_all_services()
    assert run_workflow(services, PlaceOrder(build_order_with_lines((SOLD_OUT_SKU, 1)))).status == "rejected"
    assert not services["payment"].audit()


def test_a_probe_is_answered_and_leaves_no_trace(tmp_path: Path) -> None:
    services = {name: open_service(name, folder=tmp_path) for name in SERVICES}
    before = {name: read_books(service) for name, service in services.items()}
    assert run_workflow(services, PlaceOrder(build_order("probe-1"))).status == "shipped"
    assert {name: read_books(service) for name, service in services.items()} == before
    assert services["product"].store.quantity(SKU) == UNLIMITED_STOCK
    assert not [kept for service in services.values() for kept in service.store.decisions()]
    for service in services.values():
        service.store.close()
