"""The four services by themselves: what they decide, what they keep, and that a repeat changes nothing."""

import dataclasses
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop.catalogue import NAMES, PLENTY, PRICES_CENTS, SOLD_OUT_SKU
from shop.messages import (
    MESSAGES,
    Line,
    Message,
    Order,
    OrderClosed,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PaymentDeclined,
    PaymentTaken,
    PlaceOrder,
    StockReleased,
    StockReserved,
)
from shop.open import open_service
from shop.payments import DECLINED_CARD, GOOD_CARD, PaymentService, has_check_digit
from shop.products import ProductService, units_by_sku
from shop.service import Service, Tally, number_of
from shop.shipping import ShippingService, tracking_number
from shop.store import Decision, MemoryStore, SqliteStore, Store
from shop.users import UserService
from shop.workflow import SERVICES, consumed_by, consumer_of, is_onward, is_outcome
from tests.conftest import an_order

SKU, OTHER = "SKU-0003", "SKU-0007"
few = settings(max_examples=40, deadline=None)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Either store, empty."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.sqlite")
    yield made
    made.close()


def an_order_of(*wanted: tuple[str, int], order_id: str = "order-1", **changes: object) -> Order:
    lines = tuple(Line(sku, NAMES.get(sku, sku), quantity, PRICES_CENTS.get(sku, 100)) for sku, quantity in wanted)
    return an_order(order_id, lines=lines, **changes)


def walk(services: dict[str, Service], message: Message) -> Message:
    """The whole workflow without a transport."""
    while not is_outcome(message):
        message = services[consumer_of(message)].handle(message)
    return message


def four() -> dict[str, Service]:
    return {name: open_service(name) for name in SERVICES}


def books(service: Service) -> tuple[object, object]:
    return dict(service.audit()), dict(service.balance())


# The user service


def test_an_order_is_placed_with_the_buyers_mail_address(store: Store) -> None:
    order = an_order(user_id="user-7")
    assert UserService(store).handle(PlaceOrder(order)) == OrderPlaced(order, "user-7@buyers.example")


def test_a_shipped_order_is_closed_with_its_money_and_tracking_number(store: Store) -> None:
    order = an_order()
    closed = UserService(store).handle(OrderShipped(order, 910, "RR473124829GB"))
    assert closed == OrderClosed(order, "shipped", 910, "RR473124829GB", "")


@pytest.mark.parametrize("refusal", [OutOfStock, StockReleased])
def test_a_refused_order_is_closed_with_the_reason_and_no_money(store: Store, refusal: Callable[..., Message]) -> None:
    closed = UserService(store).handle(refusal(an_order(), "because"))
    assert closed == OrderClosed(an_order(), "rejected", 0, "", "because")


def test_an_order_is_open_from_placed_to_closed(store: Store) -> None:
    user = UserService(store)
    user.handle_all([PlaceOrder(an_order("a")), PlaceOrder(an_order("b")), PlaceOrder(an_order("c"))])
    assert user.balance() == {"open": 3}
    user.handle_all([OrderShipped(an_order("a"), 1, "RR"), OutOfStock(an_order("b"), "sold out")])
    assert user.balance() == {"open": 1}


# The product service


def test_stock_is_reserved_at_the_price_of_the_catalogue_and_not_of_the_buyer(store: Store) -> None:
    order = an_order(lines=(Line(SKU, "kettle", 2, 1), Line(OTHER, "vase", 3, 999_999)))
    reserved = ProductService(store).handle(OrderPlaced(order, "a@b"))
    assert reserved == StockReserved(order, 2 * PRICES_CENTS[SKU] + 3 * PRICES_CENTS[OTHER])


def test_a_reservation_takes_units_out_of_the_stock(store: Store) -> None:
    product = ProductService(store, {SKU: 10, OTHER: 5})
    product.handle(OrderPlaced(an_order_of((SKU, 2), (OTHER, 1), (SKU, 3)), "a@b"))
    assert (store.quantity(SKU), store.quantity(OTHER)) == (5, 4)


def test_the_last_unit_can_be_reserved_and_no_unit_more(store: Store) -> None:
    product = ProductService(store, {SKU: 2})
    last = an_order_of((SKU, 2), order_id="last")
    late = an_order_of((SKU, 1), order_id="late")
    assert isinstance(product.handle(OrderPlaced(last, "a@b")), StockReserved)
    assert product.handle(OrderPlaced(late, "a@b")) == OutOfStock(late, f"{SKU} is sold out")
    assert store.quantity(SKU) == 0


def test_lines_of_the_same_sku_are_added_up_before_the_stock_is_judged(store: Store) -> None:
    product = ProductService(store, {SKU: 3})
    assert isinstance(product.handle(OrderPlaced(an_order_of((SKU, 2), (SKU, 2)), "a@b")), OutOfStock)
    assert store.quantity(SKU) == 3


def test_an_order_that_lacks_one_sku_reserves_none_of_the_others(store: Store) -> None:
    product = ProductService(store, {SKU: 10, OTHER: 0})
    assert isinstance(product.handle(OrderPlaced(an_order_of((SKU, 1), (OTHER, 1)), "a@b")), OutOfStock)
    assert store.quantity(SKU) == 10


def test_a_sku_that_the_shop_does_not_sell_is_out_of_stock(store: Store) -> None:
    order = an_order_of(("SKU-NONE", 1))
    assert ProductService(store).handle(OrderPlaced(order, "a@b")) == OutOfStock(order, "SKU-NONE is not sold here")


@pytest.mark.parametrize("quantity", [0, -1, -(2**40)])
def test_no_stock_is_made_with_a_quantity_below_one(store: Store, quantity: int) -> None:
    product = ProductService(store, {SKU: 10, OTHER: 10})
    order = an_order_of((OTHER, 1), (SKU, quantity))
    refused = product.handle(OrderPlaced(order, "a@b"))
    assert refused == OutOfStock(order, f"{SKU}: {quantity} is not a quantity")
    assert (store.quantity(SKU), store.quantity(OTHER)) == (10, 10)


def test_by_default_there_is_plenty_of_everything_but_the_sold_out_sku(store: Store) -> None:
    ProductService(store)
    assert {store.quantity(sku) for sku in PRICES_CENTS} == {PLENTY}
    assert store.quantity(SOLD_OUT_SKU) == 0


def test_a_declined_payment_releases_the_stock(store: Store) -> None:
    product = ProductService(store, {SKU: 10})
    order = an_order_of((SKU, 4))
    product.handle(OrderPlaced(order, "a@b"))
    released = product.handle(PaymentDeclined(order, 4 * PRICES_CENTS[SKU], "the card was declined"))
    assert released == StockReleased(order, "the card was declined")
    assert store.quantity(SKU) == 10


def test_a_unit_gone_from_the_stock_without_a_reservation_is_missing(store: Store) -> None:
    product = ProductService(store, {SKU: 10})
    product.handle(OrderPlaced(an_order_of((SKU, 4)), "a@b"))
    assert product.balance() == {"missing": 0}
    store.set_quantity(SKU, 5)
    assert product.balance() == {"missing": 1}


# The payment service


def test_a_good_card_pays_the_total(store: Store) -> None:
    payment, order = PaymentService(store), an_order()
    taken = payment.handle(StockReserved(order, 910))
    assert taken == PaymentTaken(order, 910, f"PAY-{number_of('order-1'):016x}")
    assert payment.balance() == {"taken_cents": 910}


def test_two_orders_have_different_payments(store: Store) -> None:
    payment = PaymentService(store)
    one, other = payment.handle_all([StockReserved(an_order("a"), 1), StockReserved(an_order("b"), 1)])
    assert one.payment_id != other.payment_id


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (DECLINED_CARD, "the card was declined"),
        ("4242424242424241", "the card number is not valid"),
        ("", "the card number is not valid"),
        ("4242 4242 4242 4242", "the card number is not valid"),
        ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "the card number is not valid"),
    ],
)
def test_a_card_that_is_refused_pays_nothing(store: Store, card: str, reason: str) -> None:
    payment, order = PaymentService(store), an_order(card=card)
    assert payment.handle(StockReserved(order, 910)) == PaymentDeclined(order, 910, reason)
    assert payment.balance() == {"taken_cents": 0}


@pytest.mark.parametrize(
    "card",
    [
        "17893729974",  # Wikipedia, "Luhn algorithm"
        "79927398713",  # the example of earlier editions there
        "4111111111111111",  # test cards that card networks and Stripe publish
        "5555555555554444",
        "378282246310005",
        "6011111111111117",
        GOOD_CARD,
        DECLINED_CARD,
    ],
)
def test_published_numbers_have_their_luhn_check_digit_and_no_other(card: str) -> None:
    assert [digit for digit in "0123456789" if has_check_digit(card[:-1] + digit)] == [card[-1]]


@pytest.mark.parametrize("swapped", ["4422424242424242", "71893729974"])
def test_two_digits_that_changed_places_fail_the_check(swapped: str) -> None:
    assert not has_check_digit(swapped)


# The shipping service


def test_a_paid_order_is_shipped_with_its_money(store: Store) -> None:
    shipping, order = ShippingService(store), an_order_of((SKU, 2), (OTHER, 1))
    shipped = shipping.handle(PaymentTaken(order, 910, "PAY-1"))
    assert shipped == OrderShipped(order, 910, tracking_number("order-1"))
    assert shipping.balance() == {"units": 3}


@pytest.mark.parametrize(
    ("serial", "check"),
    [
        (47312482, "9"),  # UPU standard S10 as Wikipedia works it out: RR 473 124 829 GB
        (0, "5"),  # remainder 0: 11 becomes 5
        (30000000, "9"),  # 3 * 8 = 24; 11 - 24 % 11
        (70000000, "0"),  # 7 * 8 = 56; 11 - 1 = 10 becomes 0
    ],
)
def test_tracking_numbers_have_the_check_digit_of_upu_s10(
    monkeypatch: pytest.MonkeyPatch, serial: int, check: str
) -> None:
    monkeypatch.setattr("shop.shipping.number_of", lambda order_id: 10**8 + serial)
    assert tracking_number("whatever") == f"RR{serial:08d}{check}GB"


@few
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_tracking_number_is_thirteen_characters_with_a_right_check_digit(order_id: str) -> None:
    number = tracking_number(order_id)
    assert (len(number), number[:2], number[11:]) == (13, "RR", "GB")
    weighed = sum(w * int(d) for w, d in zip((8, 6, 4, 2, 3, 5, 9, 7), number[2:10], strict=True)) % 11
    assert number[10] == "50987654321"[weighed]


# Whose turn it is


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


# The same message twice

ONCE: tuple[tuple[str, Message], ...] = (
    ("user", PlaceOrder(an_order())),
    ("user", OrderShipped(an_order(), 910, "RR1")),
    ("user", OutOfStock(an_order(), "sold out")),
    ("user", StockReleased(an_order(), "declined")),
    ("product", OrderPlaced(an_order(), "a@b")),
    ("product", OrderPlaced(an_order_of((SOLD_OUT_SKU, 1)), "a@b")),
    ("product", PaymentDeclined(an_order(), 910, "declined")),
    ("payment", StockReserved(an_order(), 910)),
    ("payment", StockReserved(an_order(card=DECLINED_CARD), 910)),
    ("shipping", PaymentTaken(an_order(), 910, "PAY-1")),
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
    assert books(service) == books(once)


def test_what_was_decided_stands_although_the_stock_has_changed(store: Store) -> None:
    product = ProductService(store, {SKU: 2})
    late = OrderPlaced(an_order_of((SKU, 2), order_id="late"), "a@b")
    early = an_order_of((SKU, 2), order_id="early")
    product.handle(OrderPlaced(early, "a@b"))
    assert isinstance(product.handle(late), OutOfStock)
    product.handle(PaymentDeclined(early, 1, "declined"))
    assert store.quantity(SKU) == 2
    assert isinstance(product.handle(late), OutOfStock)


def test_a_fact_is_rebuilt_from_the_message_that_asks(store: Store) -> None:
    """The document is not kept: it comes along with every delivery."""
    user = UserService(store)
    user.handle(PlaceOrder(an_order(document=b"first")))
    again = user.handle(PlaceOrder(an_order(document=b"second")))
    assert again.order.document == b"second"


def test_a_decision_is_small_however_large_the_order() -> None:
    services = four()
    lines = tuple(Line("S" * 5_000, "n" * 5_000, 1, 1) for _ in range(100))
    walk(services, PlaceOrder(an_order("large-1", document=b"x" * 100_000, lines=lines)))
    walk(services, PlaceOrder(an_order("large-2", document=b"x" * 100_000)))
    kept = [decision for service in services.values() for _, decision in service.store.decisions()]
    assert len(kept) == 3 + 5
    assert all(len(d.fact) + len(d.detail.encode()) + 8 <= 200 for d in kept)


def test_no_service_consumes_a_fact_of_its_own_so_that_a_chain_never_asks_itself() -> None:
    for name in SERVICES:
        service = open_service(name)
        for message_type in consumed_by(name):
            for order in (an_order(), an_order(card=DECLINED_CARD), an_order(lines=())):
                given = {"order": order}
                for field in dataclasses.fields(message_type)[1:]:
                    given[field.name] = 1 if field.type is int else "x"
                fact = service.handle(message_type(**given))
                assert is_outcome(fact) or consumer_of(fact) != name


# Memory that is bounded


def test_the_newest_20_000_orders_are_remembered_in_memory_and_none_older() -> None:
    store = MemoryStore()
    payment = PaymentService(store)
    for number in range(20_001):
        payment.handle(StockReserved(an_order(f"order-{number}"), 1))
    assert len(list(store.decisions())) == 20_000
    assert store.recall("stock-reserved", "order-0") is None
    assert store.recall("stock-reserved", "order-1") is not None


def test_a_rare_kind_of_message_is_forgotten_with_its_order() -> None:
    store = MemoryStore(keep=3)
    user = UserService(store)
    user.handle_all([PlaceOrder(an_order("rare")), OutOfStock(an_order("rare"), "none left")])
    for order_id in "abc":
        user.handle_all([PlaceOrder(an_order(order_id)), OrderShipped(an_order(order_id), 1, "RR")])
    assert store.recall("out-of-stock", "rare") is None
    assert {order_id for order_id, _ in store.decisions()} == {"a", "b", "c"}


def test_every_kind_of_message_about_a_new_order_is_remembered() -> None:
    store = MemoryStore(keep=2)
    user = UserService(store)
    for order_id in "abc":
        user.handle_all([PlaceOrder(an_order(order_id)), OrderShipped(an_order(order_id), 1, "RR")])
    assert [order_id for order_id, _ in store.decisions()] == ["b", "b", "c", "c"]


def test_sqlite_remembers_them_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = PaymentService(store)
    payment.handle_all([StockReserved(an_order(f"order-{number}"), 1) for number in range(20_050)])
    assert store.recall("stock-reserved", "order-0") == Decision("payment-taken", 1, f"PAY-{number_of('order-0'):016x}")
    store.close()


def test_tallies_go_on_counting_what_memory_forgets() -> None:
    payment = PaymentService(MemoryStore(keep=5))
    for number in range(12):
        payment.handle(StockReserved(an_order(f"order-{number}"), 10))
    tally = payment.audit()["payment-taken"]
    assert (tally.count, tally.amount_cents) == (12, 120)


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
    assert tally.order_ids == sum(number_of(f"order-{number}") for number in range(100)) % 2**64


def test_the_number_of_an_order_is_the_same_in_every_process() -> None:
    assert number_of("order-1") == 0x2599000E8C1B023D  # echo -n order-1 | b2sum -l 64


# SQLite


def reopened(tmp_path: Path, name: str) -> Service:
    return open_service(name, folder=tmp_path)


def test_sqlite_keeps_decisions_over_a_restart(tmp_path: Path) -> None:
    first = reopened(tmp_path, "payment")
    answer = first.handle(StockReserved(an_order(), 910))
    before = books(first)
    first.store.close()
    second = reopened(tmp_path, "payment")
    assert second.handle(StockReserved(an_order(), 910)) == answer
    assert books(second) == before
    second.store.close()


@pytest.mark.parametrize("name", SERVICES)
def test_sqlite_keeps_tallies_and_balance_over_a_restart(tmp_path: Path, name: str) -> None:
    services = {other: open_service(other, folder=tmp_path) for other in SERVICES}
    for number, changes in enumerate([{}, {"card": DECLINED_CARD}, {"lines": (Line(SOLD_OUT_SKU, "", 1, 1),)}]):
        walk(services, PlaceOrder(an_order(f"order-{number}", **changes)))
    before = books(services[name])
    for service in services.values():
        service.store.close()
    again = reopened(tmp_path, name)
    assert books(again) == before
    assert again.audit()
    again.store.close()


def test_sqlite_does_not_refill_the_stock_at_a_restart(tmp_path: Path) -> None:
    first = ProductService(SqliteStore(tmp_path / "product.sqlite"), {SKU: 10})
    first.handle(OrderPlaced(an_order_of((SKU, 4)), "a@b"))
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


# A batch is one transaction


class _Spoilt(PaymentService):
    def _judge(self, message: StockReserved) -> Decision:
        if message.order.order_id == "spoilt":
            raise ZeroDivisionError
        return super()._judge(message)


def test_an_exception_inside_a_batch_leaves_nothing_of_it_in_sqlite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = _Spoilt(store)
    payment.handle(StockReserved(an_order("before"), 5))
    with pytest.raises(ZeroDivisionError):
        payment.handle_all([StockReserved(an_order("good"), 7), StockReserved(an_order("spoilt"), 7)])
    assert [order_id for order_id, _ in store.decisions()] == ["before"]
    assert payment.balance() == {"taken_cents": 5}
    assert payment.audit()["payment-taken"].count == 1
    payment.handle(StockReserved(an_order("good"), 7))
    assert payment.balance() == {"taken_cents": 12}
    store.close()


def test_nobody_sees_a_batch_half_done(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store, other = SqliteStore(path), sqlite3.connect(path)
    counts = []

    class Watched(PaymentService):
        def _judge(self, message: StockReserved) -> Decision:
            counts.append(other.execute("SELECT count(*) FROM decisions").fetchone()[0])
            return super()._judge(message)

    Watched(store).handle_all([StockReserved(an_order(order_id), 1) for order_id in "abc"])
    assert counts == [0, 0, 0]
    assert other.execute("SELECT count(*) FROM decisions").fetchone() == (3,)
    other.close()
    store.close()


def test_a_batch_sees_what_its_own_beginning_did(store: Store) -> None:
    product = ProductService(store, {SKU: 3})
    facts = product.handle_all([OrderPlaced(an_order_of((SKU, 2), order_id=order_id), "a@b") for order_id in "abc"])
    assert [type(fact) for fact in facts] == [StockReserved, OutOfStock, OutOfStock]


# Properties

QUANTITIES = st.lists(
    st.tuples(st.sampled_from([SKU, OTHER, SOLD_OUT_SKU, "SKU-NONE"]), st.integers(-1, 4)), max_size=4
)
PLANS = st.lists(st.tuples(QUANTITIES, st.sampled_from([GOOD_CARD, GOOD_CARD, DECLINED_CARD, "12"])), max_size=8)
STOCK = {SKU: 12, OTHER: 6, SOLD_OUT_SKU: 0}


def orders_of(plan: list[tuple[list[tuple[str, int]], str]]) -> list[Order]:
    return [an_order_of(*wanted, order_id=f"o{n}", card=card) for n, (wanted, card) in enumerate(plan)]


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
@few
@given(plan=PLANS, data=st.data())
def test_deliveries_with_repeats_leave_the_same_books_as_without(kind: str, plan, data) -> None:
    """Facts are delivered in any sequence, and any that was ever delivered may come again at any time."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        once, often = shops(Path(folder), kind, stack), shops(Path(folder), "memory", stack)
        waiting: list[Message] = [PlaceOrder(order) for order in orders_of(plan)]
        delivered: list[Message] = []
        while waiting:
            message = waiting.pop(data.draw(st.integers(0, len(waiting) - 1), label="next"))
            fact = once[consumer_of(message)].handle(message)
            assert often[consumer_of(message)].handle(message) == fact
            delivered.append(message)
            for again in data.draw(st.lists(st.sampled_from(delivered), max_size=2), label="again"):
                often[consumer_of(again)].handle(again)
            if not is_outcome(fact):
                waiting.append(fact)
        assert {n: books(s) for n, s in often.items()} == {n: books(s) for n, s in once.items()}
        for sku in STOCK:
            assert often["product"].store.quantity(sku) == once["product"].store.quantity(sku)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@few
@given(plan=PLANS)
def test_money_and_stock_add_up(kind: str, plan) -> None:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        services = shops(Path(folder), kind, stack)
        orders = orders_of(plan)
        ends = [walk(services, PlaceOrder(order)) for order in orders]
        shipped = [end for end in ends if end.status == "shipped"]
        sold = sum((Counter(units_by_sku(end.order)) for end in shipped), Counter())
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
            "order_ids": sum(number_of(end.order.order_id) for end in shipped) % 2**64,
        }


# Found wanting


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    payment = PaymentService(store)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        payment.handle_all([StockReserved(an_order(f"order-{number}"), 1) for number in range(1_000)])
    store._db.execute("PRAGMA max_page_count=100000")
    payment.handle(StockReserved(an_order(), 1))
    assert payment.balance() == {"taken_cents": 1}
    assert payment.audit()["payment-taken"].count == 1
    store.close()


def test_a_long_user_id_is_not_kept(store: Store) -> None:
    """20,000 decisions of any size are no bounded memory; the mail address can be rebuilt from the message."""
    UserService(store).handle(PlaceOrder(an_order(user_id="u" * 5_000)))
    ((_, decision),) = store.decisions()
    assert len(decision.detail) <= 200


@pytest.mark.parametrize("refusal", [OutOfStock, StockReleased])
def test_a_long_reason_is_not_kept(store: Store, refusal: Callable[..., Message]) -> None:
    UserService(store).handle(refusal(an_order(), "because " * 5_000))
    ((_, decision),) = store.decisions()
    assert len(decision.detail) <= 200


def test_after_an_exception_inside_a_batch_tallies_and_books_still_agree(store: Store) -> None:
    """Kafka's consumer handles a spoilt batch again one by one; what memory kept of it must be counted then."""
    payment = _Spoilt(store)
    good = StockReserved(an_order("good"), 7)
    with pytest.raises(ZeroDivisionError):
        payment.handle_all([good, StockReserved(an_order("spoilt"), 7)])
    payment.handle(good)
    assert payment.balance() == {"taken_cents": 7}
    assert payment.audit() == {"payment-taken": Tally(1, 7, number_of("good"))}
