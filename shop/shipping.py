"""The shipping service: ships every paid order and gives it a tracking number."""

from collections.abc import Mapping
from operator import mul

from shop.messages import Message, OrderShipped, PaymentTaken
from shop.service import Handler, Service, hash_order_id
from shop.store import Decision

_CHECK_DIGIT_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)


class ShippingService(Service):
    name = "shipping"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {PaymentTaken: Handler(self._decide_shipment, self._send, self._build_order_shipped)}

    def _decide_shipment(self, message: PaymentTaken) -> Decision:
        return Decision("order-shipped", message.total_cents, build_tracking_number(message.order.order_id))

    def _send(self, message: PaymentTaken, decision: Decision) -> None:
        self.store.set_quantity("units", (self.store.quantity("units") or 0) + decision.units)

    def _build_order_shipped(self, message: PaymentTaken, decision: Decision) -> OrderShipped:
        return OrderShipped(message.order, decision.amount_cents, decision.detail)

    def balance(self) -> Mapping[str, int]:
        """Returns ``units``: the number of units shipped."""
        return {"units": self.store.quantity("units") or 0}


def build_tracking_number(order_id: str) -> str:
    """Returns a tracking number as in UPU standard S10.

    It has 13 characters: ``RR``, eight digits, their check digit, and the country ``GB``.
    """
    serial = f"{hash_order_id(order_id) % 10**8:08d}"
    check = 11 - sum(map(mul, _CHECK_DIGIT_WEIGHTS, map(int, serial))) % 11
    return f"RR{serial}{ {10: 0, 11: 5}.get(check, check) }GB"
