"""Tests that money and stock add up for any orders and redeliveries."""

import dataclasses
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop.catalogue import PRICES_CENTS, SOLD_OUT_SKU
from shop.messages import Message, Order, PlaceOrder
from shop.payments import DECLINED_CARD, GOOD_CARD, PaymentService
from shop.products import ProductService, count_units_by_sku
from shop.service import Service, Tally, fingerprint, hash_order_id
from shop.shipping import ShippingService
from shop.store import MemoryStore, SqliteStore, Store
from shop.users import UserService
from shop.workflow import find_consumer, is_outcome
from tests.unit.shop.builders import OTHER_SKU, SKU, build_order_with_lines, read_books, run_workflow

QUANTITIES = st.lists(
    st.tuples(st.sampled_from([SKU, OTHER_SKU, SOLD_OUT_SKU, "SKU-NONE"]), st.integers(-1, 4)), max_size=4
)
PLANS = st.lists(st.tuples(QUANTITIES, st.sampled_from([GOOD_CARD, GOOD_CARD, DECLINED_CARD, "12"])), max_size=8)
STOCK = {SKU: 12, OTHER_SKU: 6, SOLD_OUT_SKU: 0}


def orders_of(plan: list[tuple[list[tuple[str, int]], str]]) -> list[Order]:
    return [build_order_with_lines(*wanted, order_id=f"o{n}", card=card) for n, (wanted, card) in enumerate(plan)]


def shops(folder: Path, kind: str, stack: ExitStack) -> dict[str, Service]:
    def store(name: str) -> Store:
        made: Store = MemoryStore() if kind == "memory" else SqliteStore(folder / f"{name}.sqlite")
        stack.callback(made.close)
        return made

    return {
        "user": UserService(store("user")),
        "product": ProductService(store("product"), STOCK),
        "payment": PaymentService(store("payment")),
        "shipping": ShippingService(store("shipping")),
    }


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40)
@given(plan=PLANS, data=st.data())
def test_deliveries_with_repeats_leave_the_same_books_as_without(kind: str, plan, data) -> None:
    """Facts are delivered in any sequence, and any that was ever delivered may come again at any time."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        once, often = shops(Path(folder), kind, stack), shops(Path(folder), "memory", stack)
        waiting: list[Message] = [PlaceOrder(order) for order in orders_of(plan)]
        delivered: list[Message] = []
        while waiting:
            message = waiting.pop(data.draw(st.integers(0, len(waiting) - 1), label="next"))
            fact = once[find_consumer(message)].handle(message)
            assert often[find_consumer(message)].handle(message) == fact
            delivered.append(message)
            for again in data.draw(st.lists(st.sampled_from(delivered), max_size=2), label="again"):
                often[find_consumer(again)].handle(again)
            if not is_outcome(fact):
                waiting.append(fact)
        assert {n: read_books(s) for n, s in often.items()} == {n: read_books(s) for n, s in once.items()}
        for sku in STOCK:
            assert often["product"].store.quantity(sku) == once["product"].store.quantity(sku)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40)
@given(plan=PLANS)
def test_money_and_stock_add_up(kind: str, plan) -> None:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        services = shops(Path(folder), kind, stack)
        orders = orders_of(plan)
        ends = [run_workflow(services, PlaceOrder(order)) for order in orders]
        shipped = [end for end in ends if end.status == "shipped"]
        sold = sum((Counter(count_units_by_sku(end.order)) for end in shipped), Counter())
        for sku, units in STOCK.items():
            assert services["product"].store.quantity(sku) == units - sold[sku]
            assert units >= sold[sku]
        money = sum(PRICES_CENTS.get(line.sku, 0) * line.quantity for end in shipped for line in end.order.lines)
        assert services["payment"].balance() == {"taken_cents": money}
        assert sum(end.total_cents for end in ends) == money
        assert services["shipping"].balance() == {"units": sold.total()}
        assert services["product"].balance() == {"missing": 0}
        assert services["user"].balance() == {"open": 0}
        assert all(end.card == GOOD_CARD for end in (end.order for end in shipped))
        assert dataclasses.asdict(services["shipping"].audit().get("order-shipped", Tally())) == {
            "count": len(shipped),
            "amount_cents": money,
            "order_ids": sum(hash_order_id(end.order.order_id) for end in shipped) % 2**64,
            "units": sold.total(),
            "contents": sum(fingerprint(end.order) for end in shipped) % 2**64,
        }
