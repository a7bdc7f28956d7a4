"""Tests the memory store: how many orders it remembers, and the counts of forgotten ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop.messages import Message, OrderShipped, OutOfStock, PlaceOrder, StockReleased, StockReserved
from shop.payments import PaymentService
from shop.service import Tally, hash_order_id
from shop.store import Decision, MemoryStore, SqliteStore, Store
from shop.users import UserService
from tests.conftest import build_order

# Memory that is bounded


def test_the_newest_20_000_orders_are_remembered_in_memory_and_none_older() -> None:
    store = MemoryStore()
    payment = PaymentService(store)
    for number in range(20_001):
        payment.handle(StockReserved(build_order(f"order-{number}"), 1))
    assert len(list(store.decisions())) == 20_000
    assert store.find_decision("stock-reserved", "order-0") is None
    assert store.find_decision("stock-reserved", "order-1") is not None


def test_a_rare_kind_of_message_is_forgotten_with_its_order() -> None:
    store = MemoryStore(keep=3)
    user = UserService(store)
    user.handle_all([PlaceOrder(build_order("rare")), OutOfStock(build_order("rare"), "none left")])
    for order_id in "abc":
        user.handle_all([PlaceOrder(build_order(order_id)), OrderShipped(build_order(order_id), 1, "RR")])
    assert store.find_decision("out-of-stock", "rare") is None
    assert {order_id for order_id, _ in store.decisions()} == {"a", "b", "c"}


def test_every_kind_of_message_about_a_new_order_is_remembered() -> None:
    store = MemoryStore(keep=2)
    user = UserService(store)
    for order_id in "abc":
        user.handle_all([PlaceOrder(build_order(order_id)), OrderShipped(build_order(order_id), 1, "RR")])
    assert [order_id for order_id, _ in store.decisions()] == ["b", "b", "c", "c"]


def test_sqlite_remembers_them_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = PaymentService(store)
    payment.handle_all([StockReserved(build_order(f"order-{number}"), 1) for number in range(20_050)])
    assert store.find_decision("stock-reserved", "order-0") == Decision(
        "payment-taken", 1, f"PAY-{hash_order_id('order-0'):016x}"
    )
    store.close()


def test_tallies_go_on_counting_what_memory_forgets() -> None:
    payment = PaymentService(MemoryStore(keep=5))
    for number in range(12):
        payment.handle(StockReserved(build_order(f"order-{number}"), 10))
    tally = payment.audit()["payment-taken"]
    assert (tally.count, tally.amount_cents) == (12, 120)


def test_a_long_user_id_is_not_kept(store: Store) -> None:
    """20,000 decisions of any size are no bounded memory; the mail address can be rebuilt from the message."""
    UserService(store).handle(PlaceOrder(build_order(user_id="u" * 5_000)))
    ((_, decision),) = store.decisions()
    assert len(decision.detail) <= 200


@pytest.mark.parametrize("refusal", [OutOfStock, StockReleased])
def test_a_long_reason_is_not_kept(store: Store, refusal: Callable[..., Message]) -> None:
    UserService(store).handle(refusal(build_order(), "because " * 5_000))
    ((_, decision),) = store.decisions()
    assert len(decision.detail) <= 200


# Tallies


def test_tallies_over_the_same_orders_are_equal_in_any_sequence() -> None:
    one, other = Tally(), Tally()
    for order_id in ("a", "b", "c"):
        one.add(order_id, 5)
    for order_id in ("c", "a", "b"):
        other.add(order_id, 5)
    assert one == other


def test_one_order_twice_is_not_two_orders_once() -> None:
    one, other = Tally(), Tally()
    one.add("a", 5), one.add("a", 5)
    other.add("a", 5), other.add("b", 5)
    assert one != other


def test_the_sum_of_ids_stays_within_64_bits() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(f"order-{number}", 0)
    assert tally.order_ids == sum(hash_order_id(f"order-{number}") for number in range(100)) % 2**64


def test_the_number_of_an_order_is_the_same_in_every_process() -> None:
    assert hash_order_id("order-1") == 0x2599000E8C1B023D  # echo -n order-1 | b2sum -l 64
