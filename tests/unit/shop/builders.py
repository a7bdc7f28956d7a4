"""Orders, four services without a transport, and one that fails."""

from shop.catalogue import NAMES, PRICES_CENTS
from shop.factory import open_service
from shop.messages import Line, Message, Order, StockReserved
from shop.payments import PaymentService
from shop.service import Service
from shop.store import Decision
from shop.workflow import SERVICES, consumer_of, is_outcome
from tests.conftest import an_order

SKU, OTHER = "SKU-0003", "SKU-0007"


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


class Spoilt(PaymentService):
    def _judge(self, message: StockReserved) -> Decision:
        if message.order.order_id == "spoilt":
            raise ZeroDivisionError
        return super()._judge(message)
