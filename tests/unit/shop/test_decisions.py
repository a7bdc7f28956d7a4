"""Tests the decisions of the four services."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shop.catalogue import PRICES_CENTS, SOLD_OUT_SKU, UNLIMITED_STOCK
from shop.messages import (
    Message,
    OrderClosed,
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
from shop.payments import DECLINED_CARD, GOOD_CARD, PaymentService, has_valid_check_digit
from shop.products import ProductService
from shop.service import hash_order_id
from shop.shipping import ShippingService, build_tracking_number
from shop.store import Store
from shop.users import UserService
from tests.conftest import build_order
from tests.unit.shop.builders import OTHER_SKU, SKU, build_order_with_lines

# The user service


def test_an_order_is_placed_with_the_buyers_mail_address(store: Store) -> None:
    order = build_order(user_id="user-7")
    assert UserService(store).handle(PlaceOrder(order)) == OrderPlaced(order, "user-7@buyers.example")


def test_a_shipped_order_is_closed_with_its_money_and_tracking_number(store: Store) -> None:
    order = build_order()
    closed = UserService(store).handle(OrderShipped(order, 910, "RR473124829GB"))
    assert closed == OrderClosed(order, "shipped", 910, "RR473124829GB", "")


@pytest.mark.parametrize("refusal", [OutOfStock, StockReleased])
def test_a_refused_order_is_closed_with_the_reason_and_no_money(store: Store, refusal: Callable[..., Message]) -> None:
    closed = UserService(store).handle(refusal(build_order(), "because"))
    assert closed == OrderClosed(build_order(), "rejected", 0, "", "because")


def test_an_order_is_open_from_placed_to_closed(store: Store) -> None:
    user = UserService(store)
    user.handle_all([PlaceOrder(build_order("a")), PlaceOrder(build_order("b")), PlaceOrder(build_order("c"))])
    assert user.balance() == {"open": 3}
    user.handle_all([OrderShipped(build_order("a"), 1, "RR"), OutOfStock(build_order("b"), "sold out")])
    assert user.balance() == {"open": 1}


# The product service


def test_stock_is_reserved_at_the_price_of_the_catalogue_and_not_of_the_buyer(store: Store) -> None:
    order = build_order(lines=(OrderLine(SKU, "kettle", 2, 1), OrderLine(OTHER_SKU, "vase", 3, 999_999)))
    reserved = ProductService(store).handle(OrderPlaced(order, "a@b"))
    assert reserved == StockReserved(order, 2 * PRICES_CENTS[SKU] + 3 * PRICES_CENTS[OTHER_SKU])


def test_a_reservation_takes_units_out_of_the_stock(store: Store) -> None:
    product = ProductService(store, {SKU: 10, OTHER_SKU: 5})
    product.handle(OrderPlaced(build_order_with_lines((SKU, 2), (OTHER_SKU, 1), (SKU, 3)), "a@b"))
    assert (store.quantity(SKU), store.quantity(OTHER_SKU)) == (5, 4)


def test_the_last_unit_can_be_reserved_and_no_unit_more(store: Store) -> None:
    product = ProductService(store, {SKU: 2})
    last = build_order_with_lines((SKU, 2), order_id="last")
    late = build_order_with_lines((SKU, 1), order_id="late")
    assert isinstance(product.handle(OrderPlaced(last, "a@b")), StockReserved)
    assert product.handle(OrderPlaced(late, "a@b")) == OutOfStock(late, f"{SKU} is sold out")
    assert store.quantity(SKU) == 0


def test_lines_of_the_same_sku_are_added_up_before_the_stock_is_judged(store: Store) -> None:
    product = ProductService(store, {SKU: 3})
    assert isinstance(product.handle(OrderPlaced(build_order_with_lines((SKU, 2), (SKU, 2)), "a@b")), OutOfStock)
    assert store.quantity(SKU) == 3


def test_an_order_that_lacks_one_sku_reserves_none_of_the_others(store: Store) -> None:
    product = ProductService(store, {SKU: 10, OTHER_SKU: 0})
    assert isinstance(product.handle(OrderPlaced(build_order_with_lines((SKU, 1), (OTHER_SKU, 1)), "a@b")), OutOfStock)
    assert store.quantity(SKU) == 10


def test_a_sku_that_the_shop_does_not_sell_is_out_of_stock(store: Store) -> None:
    order = build_order_with_lines(("SKU-NONE", 1))
    assert ProductService(store).handle(OrderPlaced(order, "a@b")) == OutOfStock(order, "SKU-NONE is not sold here")


@pytest.mark.parametrize("quantity", [0, -1, -(2**40)])
def test_no_stock_is_made_with_a_quantity_below_one(store: Store, quantity: int) -> None:
    product = ProductService(store, {SKU: 10, OTHER_SKU: 10})
    order = build_order_with_lines((OTHER_SKU, 1), (SKU, quantity))
    refused = product.handle(OrderPlaced(order, "a@b"))
    assert refused == OutOfStock(order, f"{SKU}: {quantity} is not a quantity")
    assert (store.quantity(SKU), store.quantity(OTHER_SKU)) == (10, 10)


def test_by_default_there_is_plenty_of_everything_but_the_sold_out_sku(store: Store) -> None:
    ProductService(store)
    assert {store.quantity(sku) for sku in PRICES_CENTS} == {UNLIMITED_STOCK}
    assert store.quantity(SOLD_OUT_SKU) == 0


def test_a_declined_payment_releases_the_stock(store: Store) -> None:
    product = ProductService(store, {SKU: 10})
    order = build_order_with_lines((SKU, 4))
    product.handle(OrderPlaced(order, "a@b"))
    released = product.handle(PaymentDeclined(order, 4 * PRICES_CENTS[SKU], "the card was declined"))
    assert released == StockReleased(order, "the card was declined")
    assert store.quantity(SKU) == 10


def test_a_unit_gone_from_the_stock_without_a_reservation_is_missing(store: Store) -> None:
    product = ProductService(store, {SKU: 10})
    product.handle(OrderPlaced(build_order_with_lines((SKU, 4)), "a@b"))
    assert product.balance() == {"missing": 0}
    store.set_quantity(SKU, 5)
    assert product.balance() == {"missing": 1}


# The payment service


def test_a_good_card_pays_the_total(store: Store) -> None:
    payment, order = PaymentService(store), build_order()
    taken = payment.handle(StockReserved(order, 910))
    assert taken == PaymentTaken(order, 910, f"PAY-{hash_order_id('order-1'):016x}")
    assert payment.balance() == {"taken_cents": 910}


def test_two_orders_have_different_payments(store: Store) -> None:
    payment = PaymentService(store)
    one, other = payment.handle_all([StockReserved(build_order("a"), 1), StockReserved(build_order("b"), 1)])
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
    payment, order = PaymentService(store), build_order(card=card)
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
    assert [digit for digit in "0123456789" if has_valid_check_digit(card[:-1] + digit)] == [card[-1]]


@pytest.mark.parametrize("swapped", ["4422424242424242", "71893729974"])
def test_two_digits_that_changed_places_fail_the_check(swapped: str) -> None:
    assert not has_valid_check_digit(swapped)


# The shipping service


def test_a_paid_order_is_shipped_with_its_money(store: Store) -> None:
    shipping, order = ShippingService(store), build_order_with_lines((SKU, 2), (OTHER_SKU, 1))
    shipped = shipping.handle(PaymentTaken(order, 910, "PAY-1"))
    assert shipped == OrderShipped(order, 910, build_tracking_number("order-1"))
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
    monkeypatch.setattr("shop.shipping.hash_order_id", lambda order_id: 10**8 + serial)
    assert build_tracking_number("whatever") == f"RR{serial:08d}{check}GB"


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_tracking_number_is_thirteen_characters_with_a_right_check_digit(order_id: str) -> None:
    number = build_tracking_number(order_id)
    assert (len(number), number[:2], number[11:]) == (13, "RR", "GB")
    weighed = sum(w * int(d) for w, d in zip((8, 6, 4, 2, 3, 5, 9, 7), number[2:10], strict=True)) % 11
    assert number[10] == "50987654321"[weighed]
