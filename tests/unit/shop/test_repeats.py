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
from shop.payments import DECLINED_CARD, PaymentService
from shop.products import ProductService
from shop.service import Conflict, fingerprint
from shop.store import MemoryStore, Store
from shop.users import UserService
from shop.workflow import SERVICES, find_consumer, is_outcome, list_consumed_types
from tests.conftest import build_order
from tests.unit.shop.builders import SKU, build_order_with_lines, open_all_services, read_books, run_workflow

FINGERPRINT = -6219046756951481225
"""Of the order that build_order makes."""

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
    user.handle(PlaceOrder(build_order(document=b"x" * 5_000)))
    assert store.size_bytes() < 100_000
    asks = PlaceOrder(build_order(document=b"x" * 5_000))
    assert user.handle(asks).order is asks.order
    assert all(b"x" not in str(kept).encode() for kept in store.decisions())


LINE = build_order().lines[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "somebody else"},
        {"card": DECLINED_CARD},
        {"address": "elsewhere"},
        {"document": b"other"},
        {"lines": (dataclasses.replace(LINE, quantity=1000),)},
        {"lines": (dataclasses.replace(LINE, price_cents=1),)},
        {"lines": (LINE, LINE)},
        {"lines": ()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_order_id_that_comes_back_with_other_content_is_refused(store: Store, changes: dict[str, object]) -> None:
    for service, message in (
        (UserService(store), PlaceOrder),
        (PaymentService(store), lambda o: StockReserved(o, 910)),
    ):
        first = service.handle(message(build_order()))
        books = read_books(service)
        with pytest.raises(Conflict, match="order-1"):
            service.handle(message(build_order(**changes)))
        assert service.handle(message(build_order())) == first
        assert read_books(service) == books
        assert (service.repeated, service.conflicts) == (1, 1)


def test_a_conflict_in_a_batch_spoils_none_of_the_others(store: Store) -> None:
    payment = PaymentService(store)
    one, other, last = payment.handle_all(
        [
            StockReserved(build_order("a"), 910),
            StockReserved(build_order("a", lines=()), 910),
            StockReserved(build_order("b"), 910),
        ]
    )
    assert isinstance(other, Conflict)
    assert isinstance(one, PaymentTaken)
    assert isinstance(last, PaymentTaken)
    assert payment.audit()["payment-taken"].count == 2


@pytest.mark.parametrize("size_bytes", [10, 8192, 8193, 100_000])
@pytest.mark.parametrize("lines", [1, 2000])
def test_the_fingerprint_changes_with_every_field_at_every_size(size_bytes: int, lines: int) -> None:
    document = bytes(size_bytes)
    line = build_order().lines[0]
    order = build_order(document=document, lines=(line,) * lines)
    others = [
        dataclasses.replace(order, user_id="user-0002"),
        dataclasses.replace(order, card="1"),
        dataclasses.replace(order, address="elsewhere"),
        dataclasses.replace(order, document=document[:-1]),
        dataclasses.replace(order, document=document + b"\0"),
        dataclasses.replace(order, document=document[:-1] + b"\1"),
        dataclasses.replace(order, lines=order.lines[:-1]),
        *(
            dataclasses.replace(order, lines=(*order.lines[:-1], dataclasses.replace(line, **change)))  # type: ignore[arg-type]
            for change in ({"sku": "SKU-0004"}, {"name": "x"}, {"quantity": 3}, {"price_cents": 1})
        ),
    ]
    assert len({fingerprint(order), *map(fingerprint, others)}) == len(others) + 1


def test_text_that_is_no_unicode_has_a_fingerprint() -> None:
    assert fingerprint(build_order(address="\ud800")) != fingerprint(build_order(address="?"))


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint(build_order()) == FINGERPRINT


def test_units_beyond_what_a_database_can_hold_are_no_error(store: Store) -> None:
    line = dataclasses.replace(LINE, quantity=2**63)
    UserService(store).handle(PlaceOrder(build_order(lines=(line, line))))
    ((_, decision),) = store.decisions()
    assert decision.units == 2**63 - 1


def test_a_decision_is_small_however_large_the_order() -> None:
    services = open_all_services()
    lines = tuple(OrderLine("S" * 5_000, "n" * 5_000, 1, 1) for _ in range(100))
    run_workflow(services, PlaceOrder(build_order("large-1", document=b"x" * 100_000, lines=lines)))
    run_workflow(services, PlaceOrder(build_order("large-2", document=b"x" * 100_000)))
    kept = [decision for service in services.values() for _, decision in service.store.decisions()]
    assert len(kept) == 3 + 5
    assert all(len(d.fact) + len(d.detail.encode()) + 24 <= 220 for d in kept)


def test_no_service_consumes_a_fact_of_its_own_so_that_a_chain_never_asks_itself() -> None:
    for name in SERVICES:
        for message_type in list_consumed_types(name):
            for order in (build_order(), build_order(card=DECLINED_CARD), build_order(lines=())):
                service = open_service(name)
                given = {"order": order}
                for field in dataclasses.fields(message_type)[1:]:
                    given[field.name] = 1 if field.type is int else "x"
                fact = service.handle(message_type(**given))
                assert is_outcome(fact) or find_consumer(fact) != name
