"""Tests the memory store: how long it remembers an order, and the counts of forgotten ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop.messages import Message, OrderShipped, OutOfStock, PlaceOrder, StockReleased, StockReserved
from shop.payments import PaymentService
from shop.service import Tally, fingerprint, hash_order_id
from shop.store import Decision, MemoryStore, SqliteStore, Store
from shop.store.memory import LONGEST_REDELIVERY_S
from shop.users import UserService
from tests.conftest import build_order

KEPT_S = 30.0 + LONGEST_REDELIVERY_S


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


# Memory that is bounded


def test_an_order_that_comes_again_after_20_000_others_is_charged_once() -> None:
    clock = Clock()
    payment = PaymentService(MemoryStore(clock=clock))
    first = payment.handle(StockReserved(build_order("again"), 7))
    for number in range(20_000):
        clock.now_s = KEPT_S * number / 20_000
        payment.handle(StockReserved(build_order(f"order-{number}"), 1))
    assert payment.handle(StockReserved(build_order("again"), 7)) == first
    assert payment.audit()["payment-taken"].count == 20_001
    assert payment.balance() == {"taken_cents": 20_007}


def test_an_order_is_forgotten_when_it_can_no_longer_come() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    payment = PaymentService(store)
    payment.handle(StockReserved(build_order("old"), 1))
    clock.now_s = KEPT_S
    payment.handle(StockReserved(build_order("new"), 1))
    assert [order_id for order_id, _ in store.decisions()] == ["old", "new"]
    clock.now_s = 1.5 * KEPT_S
    payment.handle(StockReserved(build_order("newer"), 1))
    assert [order_id for order_id, _ in store.decisions()] == ["new", "newer"]


def test_an_order_that_keeps_coming_is_kept() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    payment = PaymentService(store)
    for _ in range(5):
        payment.handle(StockReserved(build_order("again"), 1))
        clock.now_s += KEPT_S
        payment.handle(StockReserved(build_order(f"at {clock.now_s}"), 1))
    assert payment.repeated == 4


def test_a_rare_kind_of_message_is_forgotten_with_its_order() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    user = UserService(store)
    user.handle_all([PlaceOrder(build_order("rare")), OutOfStock(build_order("rare"), "none left")])
    clock.now_s = 2 * KEPT_S
    user.handle_all([PlaceOrder(build_order("a")), OrderShipped(build_order("a"), 1, "RR")])
    assert store.find_decision("out-of-stock", "rare") is None
    assert [order_id for order_id, _ in store.decisions()] == ["a", "a"]


def test_a_store_says_its_bytes(store: Store) -> None:
    payment = PaymentService(store)
    before = store.size_bytes()
    payment.handle_all([StockReserved(build_order(f"order-{number}"), 1) for number in range(1_000)])
    assert 50_000 < store.size_bytes() - before < 1_500_000


def test_sqlite_remembers_them_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = PaymentService(store)
    payment.handle_all([StockReserved(build_order(f"order-{number}"), 1) for number in range(20_050)])
    order = build_order("order-0")
    assert store.find_decision("stock-reserved", "order-0") == Decision(
        "payment-taken", 1, f"PAY-{hash_order_id('order-0'):016x}", 2, fingerprint(order)
    )
    store.close()


def test_tallies_go_on_counting_what_memory_forgets() -> None:
    clock = Clock()
    payment = PaymentService(MemoryStore(clock=clock))
    for number in range(12):
        clock.now_s += KEPT_S / 5
        payment.handle(StockReserved(build_order(f"order-{number}"), 10))
    tally = payment.audit()["payment-taken"]
    assert (tally.count, tally.amount_cents, tally.units) == (12, 120, 24)
    assert len(list(payment.store.decisions())) == 6


def test_a_long_user_id_is_not_kept(store: Store) -> None:
    """Decisions of any size are no bounded memory; the mail address can be rebuilt from the message."""
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
