"""Tests the audit: matching books pass; lost, duplicated or invented orders fail."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from bench.load.protocol import DriverAudit
from bench.load.recorder import PackedTally
from bench.load.workload.orders import Mix, Workload
from bench.provision.service_main import build_audit
from bench.trial.audit import count_charged_unconfirmed, count_lost, count_redelivered, find_problems
from shop.factory import open_service
from shop.messages import Message, OrderClosed
from shop.service import fingerprint, hash_order_id
from shop.workflow import SERVICES, find_consumer

ORDERS = 40
Books = dict[str, Any]


def a_day(carry: Callable[[str, Message], Message] = lambda service, message: message) -> tuple[DriverAudit, Books]:
    """Orders that ship, are sold out or are declined, as the driver and as the shop have them in their books.

    ``carry`` brings a message to a service.
    """
    workload = Workload(prefix="a", seed=1, payload_bytes=512, mix=Mix(sold_out=0.2, declined=0.2))
    services = {name: open_service(name) for name in SERVICES}
    driver = DriverAudit(sent=ORDERS)
    for number in range(ORDERS):
        message: Message = workload.order(number)
        sent = message.order
        while not isinstance(message, OrderClosed):
            service = find_consumer(message)
            message = services[service].handle(carry(service, message))
        total = driver.shipped if message.status == "shipped" else driver.rejected
        total.count += 1
        total.amount_cents += message.total_cents if message.status == "shipped" else 0
        total.order_ids = (total.order_ids + hash_order_id(sent.order_id)) % 2**64
        total.contents = (total.contents + fingerprint(sent)) % 2**64
    return driver, {name: build_audit(service) for name, service in services.items()}


def test_the_books_of_a_day_on_which_nothing_went_wrong_close() -> None:
    driver, books = a_day()
    assert driver.shipped.count > 0
    assert driver.rejected.count > 0
    assert find_problems(driver, books) == []
    assert count_lost(driver, 0, books) == 0


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("change", [{"document": b""}, {"address": "?"}], ids=str)
def test_a_field_that_does_not_arrive_at_a_service_is_found(service: str, change: dict[str, object]) -> None:
    def carry(to: str, message: Message) -> Message:
        if to != service:
            return message
        return dataclasses.replace(message, order=dataclasses.replace(message.order, **change))  # type: ignore[arg-type]

    assert any("contents" in problem for problem in find_problems(*a_day(carry)))


def tally(service: str, fact: str, key: str, by: int) -> Callable[[Books], None]:
    def tamper(books: Books) -> None:
        books[service]["tallies"][fact][key] += by

    return tamper


def balance(service: str, key: str, by: int) -> Callable[[Books], None]:
    def tamper(books: Books) -> None:
        books[service]["balance"][key] += by

    return tamper


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (balance("product", "missing", 2), "2 units are neither in stock nor reserved"),
        (balance("payment", "taken_cents", 1), "the till and what was taken"),
        (balance("user", "open", 1), "1 orders are still open"),
        (tally("payment", "payment-taken", "count", 1), "shipments and charges"),
        (tally("shipping", "order-shipped", "count", -1), "shipments and charges"),
        (tally("shipping", "order-shipped", "order_ids", 5), "shipments and orders reported as shipped"),
        (tally("product", "stock-released", "count", -1), "declined cards and stock released"),
        (tally("product", "stock-reserved", "count", 1), "reservations"),
        (tally("product", "out-of-stock", "count", 1), "rejections"),
        (tally("product", "stock-reserved", "units", 998), "reservations and payment's answers: units"),
        (tally("shipping", "order-shipped", "units", 998), "shipments and charges: units"),
        (tally("user", "shipped", "units", 998), "shipments and orders reported as shipped: units"),
        (tally("product", "stock-released", "units", -1), "declined cards and stock released: units"),
        (balance("shipping", "units", 998), "the parcels and what was shipped"),
        (tally("user", "shipped", "amount_cents", 1), "shipped, at the shop and at the driver"),
        (tally("user", "rejected", "order_ids", 1), "rejected, at the shop and at the driver"),
        (tally("user", "rejected", "contents", 1), "rejected, at the shop and at the driver"),
    ],
)
def test_what_does_not_add_up_is_named(tamper: Callable[[Books], None], said: str) -> None:
    driver, books = a_day()
    tamper(books)
    assert any(said in problem for problem in find_problems(driver, books))


def in_doubt(driver: DriverAudit, orders: int) -> DriverAudit:
    """The same driver, had it not heard of so many of its shipped orders."""
    one = copy.deepcopy(driver)
    one.unfinished = orders
    one.shipped = PackedTally(count=driver.shipped.count - orders, amount_cents=0, order_ids=0)
    return one


def test_orders_in_doubt_may_have_ended_at_the_shop() -> None:
    driver, books = a_day()
    assert find_problems(in_doubt(driver, 3), books) == []


@pytest.mark.parametrize(
    ("service", "fact", "what"),
    [
        ("shipping", "order-shipped", "shipments"),
        ("payment", "payment-taken", "charges"),
        ("user", "shipped", "orders"),
    ],
)
@pytest.mark.parametrize("by", [1, -4])
def test_with_orders_in_doubt_the_shop_has_no_more_than_those_and_no_less_than_was_told(
    service: str, fact: str, what: str, by: int
) -> None:
    driver, books = a_day()
    books[service]["tallies"][fact]["count"] += by
    assert any(what in problem for problem in find_problems(in_doubt(driver, 3), books))


def test_an_accepted_order_that_neither_has_is_lost() -> None:
    driver, books = a_day()
    assert count_lost(in_doubt(driver, 3), 3, books) == 0
    books["user"]["tallies"]["shipped"]["count"] -= 2
    assert count_lost(in_doubt(driver, 3), 3, books) == 2


def test_orders_that_were_charged_and_never_heard_of_are_counted() -> None:
    driver, books = a_day()
    assert count_charged_unconfirmed(driver, books) == 0
    driver.shipped.count -= 3
    driver.failed += 3
    assert find_problems(driver, books) == []
    assert count_charged_unconfirmed(driver, books) == 3


def test_a_second_charge_does_not_hide_among_the_orders_in_doubt() -> None:
    driver, books = a_day()
    driver.failed += 3
    books["payment"]["tallies"]["payment-taken"]["count"] += 1
    assert any("charges of" in problem for problem in find_problems(driver, books))


def test_stock_released_twice_does_not_hide_among_the_orders_in_doubt() -> None:
    driver, books = a_day()
    driver.failed += 3
    books["product"]["tallies"]["stock-released"]["count"] += 1
    assert any("reservations released" in problem for problem in find_problems(driver, books))


def test_messages_that_were_answered_before_are_counted_over_all_services() -> None:
    driver, books = a_day()
    assert count_redelivered(books) == 0
    books["payment"]["repeated"] = 2
    books["user"]["repeated"] = 1
    assert count_redelivered(books) == 3
    assert find_problems(driver, books) == []
