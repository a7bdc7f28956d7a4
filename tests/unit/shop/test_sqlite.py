"""Tests the SQLite store: a database per service, a transaction per batch."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shop.catalogue import SOLD_OUT_SKU
from shop.factory import open_service
from shop.messages import OrderLine, OrderPlaced, OutOfStock, PlaceOrder, StockReserved
from shop.payments import DECLINED_CARD, PaymentService
from shop.products import ProductService
from shop.service import Service, Tally, fingerprint, hash_order_id
from shop.store import Decision, SqliteStore, Store, StoreUnavailable
from shop.workflow import SERVICES
from tests.conftest import build_order
from tests.unit.shop.builders import SKU, FailingPaymentService, build_order_with_lines, read_books, run_workflow

# SQLite


def reopened(tmp_path: Path, name: str) -> Service:
    return open_service(name, folder=tmp_path)


def test_sqlite_keeps_decisions_over_a_restart(tmp_path: Path) -> None:
    first = reopened(tmp_path, "payment")
    answer = first.handle(StockReserved(build_order(), 910))
    before = read_books(first)
    first.store.close()
    second = reopened(tmp_path, "payment")
    assert second.handle(StockReserved(build_order(), 910)) == answer
    assert read_books(second) == before
    second.store.close()


@pytest.mark.parametrize("name", SERVICES)
def test_sqlite_keeps_tallies_and_balance_over_a_restart(tmp_path: Path, name: str) -> None:
    services = {other: open_service(other, folder=tmp_path) for other in SERVICES}
    for number, changes in enumerate([{}, {"card": DECLINED_CARD}, {"lines": (OrderLine(SOLD_OUT_SKU, "", 1, 1),)}]):
        run_workflow(services, PlaceOrder(build_order(f"order-{number}", **changes)))
    before = read_books(services[name])
    for service in services.values():
        service.store.close()
    again = reopened(tmp_path, name)
    assert read_books(again) == before
    assert again.audit()
    again.store.close()


def test_sqlite_does_not_refill_the_stock_at_a_restart(tmp_path: Path) -> None:
    first = ProductService(SqliteStore(tmp_path / "product.sqlite"), {SKU: 10})
    first.handle(OrderPlaced(build_order_with_lines((SKU, 4)), "a@b"))
    first.store.close()
    second = ProductService(SqliteStore(tmp_path / "product.sqlite"), {SKU: 10})
    assert second.store.quantity(SKU) == 6
    assert second.balance() == {"missing": 0}
    second.store.close()


def test_each_service_has_a_file_of_its_own_with_a_write_ahead_log(tmp_path: Path) -> None:
    services = [open_service(name, folder=tmp_path) for name in SERVICES]
    assert {path.name for path in tmp_path.glob("*.sqlite")} == {f"{name}.sqlite" for name in SERVICES}
    with sqlite3.connect(tmp_path / "user.sqlite") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    for service in services:
        service.store.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("fast", 1), ("safe", 2)])
def test_safe_means_that_a_commit_is_on_the_disk(tmp_path: Path, durability: str, synchronous: int) -> None:
    service = open_service("user", folder=tmp_path, durability=durability)
    assert service.store._db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    service.store.close()


def test_only_sqlite_may_wait_for_a_disk(tmp_path: Path) -> None:
    assert not open_service("user").blocking
    service = open_service("user", folder=tmp_path)
    assert service.blocking
    service.store.close()


def test_a_store_may_be_closed_twice(store: Store) -> None:
    store.close()
    store.close()


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = PaymentService(store)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        payment.handle_all([StockReserved(build_order(f"order-{number}"), 1) for number in range(1_000)])
    store._db.execute("PRAGMA max_page_count=100000")
    payment.handle(StockReserved(build_order(), 1))
    assert payment.balance() == {"taken_cents": 1}
    assert payment.audit()["payment-taken"].count == 1
    store.close()


def test_a_locked_file_is_an_error_and_what_was_counted_is_as_before(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    store._db.execute("PRAGMA busy_timeout=1")
    payment, good = PaymentService(store), StockReserved(build_order(), 1)
    payment.handle(good)
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"store\.sqlite for now: database is locked"):
            payment.handle(good)
    other.execute("ROLLBACK")
    other.close()
    assert payment.handle(good) == payment.handle(good)
    assert (payment.repeated, payment.audit()["payment-taken"].count) == (2, 1)
    store.close()


def test_what_a_batch_that_fails_had_answered_before_counts_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment, good = FailingPaymentService(store), StockReserved(build_order("good"), 1)
    payment.handle(good)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            payment.handle_all([good, StockReserved(build_order("spoilt"), 7)])
    payment.handle_all([good])
    assert (payment.repeated, payment.conflicts) == (1, 0)
    store.close()


def test_a_statement_that_is_wrong_does_not_pass_for_a_store_that_is_away(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), store.transaction():
        store._db.execute("SELECT * FROM nowhere")
    store.close()


# A batch is one transaction


def test_an_exception_inside_a_batch_leaves_nothing_of_it_in_sqlite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = FailingPaymentService(store)
    payment.handle(StockReserved(build_order("before"), 5))
    with pytest.raises(ZeroDivisionError):
        payment.handle_all([StockReserved(build_order("good"), 7), StockReserved(build_order("spoilt"), 7)])
    assert [order_id for order_id, _ in store.decisions()] == ["before"]
    assert payment.balance() == {"taken_cents": 5}
    assert payment.audit()["payment-taken"].count == 1
    payment.handle(StockReserved(build_order("good"), 7))
    assert payment.balance() == {"taken_cents": 12}
    store.close()


def test_nobody_sees_a_batch_half_done(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store, other = SqliteStore(path), sqlite3.connect(path)
    counts = []

    class Watched(PaymentService):
        def _decide(self, message: StockReserved) -> Decision:
            counts.append(other.execute("SELECT count(*) FROM decisions").fetchone()[0])
            return super()._decide(message)

    Watched(store).handle_all([StockReserved(build_order(order_id), 1) for order_id in "abc"])
    assert counts == [0, 0, 0]
    assert other.execute("SELECT count(*) FROM decisions").fetchone() == (3,)
    other.close()
    store.close()


def test_a_batch_sees_what_its_own_beginning_did(store: Store) -> None:
    product = ProductService(store, {SKU: 3})
    facts = product.handle_all(
        [OrderPlaced(build_order_with_lines((SKU, 2), order_id=order_id), "a@b") for order_id in "abc"]
    )
    assert [type(fact) for fact in facts] == [StockReserved, OutOfStock, OutOfStock]


def test_after_an_exception_inside_a_batch_tallies_and_books_still_agree(store: Store) -> None:
    """Kafka's consumer handles a spoilt batch again one by one; what memory kept of it must be counted then."""
    payment = FailingPaymentService(store)
    good = StockReserved(build_order("good"), 7)
    with pytest.raises(ZeroDivisionError):
        payment.handle_all([good, StockReserved(build_order("spoilt"), 7)])
    payment.handle(good)
    assert payment.balance() == {"taken_cents": 7}
    assert payment.audit() == {"payment-taken": Tally(1, 7, hash_order_id("good"), 2, fingerprint(good.order) % 2**64)}


class AnswerLostStore(SqliteStore):
    """Its first commit is done, and nobody hears of it."""

    lost = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("the answer to a commit was lost")


def test_a_decision_whose_commit_was_not_heard_of_is_counted_once(tmp_path: Path) -> None:
    payment = PaymentService(AnswerLostStore(tmp_path / "store.db"))
    messages = [StockReserved(build_order(name), 7) for name in ("one", "two", "one")]
    with pytest.raises(StoreUnavailable):
        payment.handle_all(messages)
    for _ in range(2):
        payment.handle_all(messages)
    assert payment.audit()["payment-taken"].count == 2
    assert payment.balance() == {"taken_cents": 14}
    assert payment.repeated == 4
