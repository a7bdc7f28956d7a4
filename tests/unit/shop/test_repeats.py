"""Tests that a repeated message has one effect and the same answer."""

import dataclasses

import pytest

from shop.catalogue import SOLD_OUT_SKU
from shop.factory import open_service
from shop.messages import (
    Message,
    OrderLine,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PaymentDeclined,
    PaymentTaken,
    PlaceOrder,
    StockReleased,
    StockReserved,
)
from shop.payments import DECLINED_CARD
from shop.products import ProductService
from shop.store import MemoryStore, Store
from shop.users import UserService
from shop.workflow import SERVICES, find_consumer, is_outcome, list_consumed_types
from tests.conftest import build_order
from tests.unit.shop.builders import SKU, build_order_with_lines, open_all_services, read_books, run_workflow

ONCE: tuple[tuple[str, Message], ...] = (
    ("user", PlaceOrder(build_order())),
    ("user", OrderShipped(build_order(), 910, "RR1")),
    ("user", OutOfStock(build_order(), "sold out")),
    ("user", StockReleased(build_order(), "declined")),
    ("product", OrderPlaced(build_order(), "a@b")),
    ("product", OrderPlaced(build_order_with_lines((SOLD_OUT_SKU, 1)), "a@b")),
    ("product", PaymentDeclined(build_order(), 910, "declined")),
    ("payment", StockReserved(build_order(), 910)),
    ("payment", StockReserved(build_order(card=DECLINED_CARD), 910)),
    ("shipping", PaymentTaken(build_order(), 910, "PAY-1")),
)


@pytest.mark.parametrize(("name", "message"), ONCE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "in one batch"])
def test_a_repeated_message_has_one_effect_and_the_same_answer(
    store: Store, name: str, message: Message, apart: bool
) -> None:
    service = type(open_service(name))(store)
    once = type(service)(MemoryStore())
    answer = once.handle(message)
    if apart:
        assert [service.handle(message) for _ in range(3)] == [answer] * 3
    else:
        assert service.handle_all([message] * 3) == [answer] * 3
    assert read_books(service) == read_books(once)


def test_what_was_decided_stands_although_the_stock_has_changed(store: Store) -> None:
    product = ProductService(store, {SKU: 2})
    late = OrderPlaced(build_order_with_lines((SKU, 2), order_id="late"), "a@b")
    early = build_order_with_lines((SKU, 2), order_id="early")
    product.handle(OrderPlaced(early, "a@b"))
    assert isinstance(product.handle(late), OutOfStock)
    product.handle(PaymentDeclined(early, 1, "declined"))
    assert store.quantity(SKU) == 2
    assert isinstance(product.handle(late), OutOfStock)


def test_a_fact_is_rebuilt_from_the_message_that_asks(store: Store) -> None:
    """The document is not kept: it comes along with every delivery."""
    user = UserService(store)
    user.handle(PlaceOrder(build_order(document=b"first")))
    again = user.handle(PlaceOrder(build_order(document=b"second")))
    assert again.order.document == b"second"


def test_a_decision_is_small_however_large_the_order() -> None:
    services = open_all_services()
    lines = tuple(OrderLine("S" * 5_000, "n" * 5_000, 1, 1) for _ in range(100))
    run_workflow(services, PlaceOrder(build_order("large-1", document=b"x" * 100_000, lines=lines)))
    run_workflow(services, PlaceOrder(build_order("large-2", document=b"x" * 100_000)))
    kept = [decision for service in services.values() for _, decision in service.store.decisions()]
    assert len(kept) == 3 + 5
    assert all(len(d.fact) + len(d.detail.encode()) + 8 <= 200 for d in kept)


def test_no_service_consumes_a_fact_of_its_own_so_that_a_chain_never_asks_itself() -> None:
    for name in SERVICES:
        service = open_service(name)
        for message_type in list_consumed_types(name):
            for order in (build_order(), build_order(card=DECLINED_CARD), build_order(lines=())):
                given = {"order": order}
                for field in dataclasses.fields(message_type)[1:]:
                    given[field.name] = 1 if field.type is int else "x"
                fact = service.handle(message_type(**given))
                assert is_outcome(fact) or find_consumer(fact) != name
