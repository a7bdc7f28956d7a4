"""Builds orders and services for the shop's tests, one of which fails."""

from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES
from shop.factory import open_service
from shop.messages import Message, Order, OrderLine, StockReserved
from shop.payments import PaymentService
from shop.service import Service
from shop.store import Decision
from shop.workflow import SERVICES, find_consumer, is_outcome
from tests.conftest import build_order

SKU, OTHER_SKU = "SKU-0003", "SKU-0007"


def build_order_with_lines(*wanted: tuple[str, int], order_id: str = "order-1", **changes: object) -> Order:
    lines = tuple(
        OrderLine(sku, PRODUCT_NAMES.get(sku, sku), quantity, PRICES_CENTS.get(sku, 100)) for sku, quantity in wanted
    )
    return build_order(order_id, lines=lines, **changes)


def run_workflow(services: dict[str, Service], message: Message) -> Message:
    """Runs the whole workflow without a transport and returns the outcome."""
    while not is_outcome(message):
        message = services[find_consumer(message)].handle(message)
    return message


def open_all_services() -> dict[str, Service]:
    return {name: open_service(name) for name in SERVICES}


def read_books(service: Service) -> tuple[object, object]:
    return dict(service.audit()), dict(service.balance())


class FailingPaymentService(PaymentService):
    def _decide(self, message: StockReserved) -> Decision:
        if message.order.order_id == "spoilt":
            raise ZeroDivisionError
        return super()._decide(message)
