"""The shipping service: a parcel and its tracking number for every paid order."""

from collections.abc import Mapping
from operator import mul

from shop.messages import Message, OrderShipped, PaymentTaken
from shop.service import Handler, Service, number_of
from shop.store import Decision

_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)


class ShippingService(Service):
    name = "shipping"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {PaymentTaken: Handler(self._label, self._send, self._shipped)}

    def _label(self, message: PaymentTaken) -> Decision:
        return Decision("order-shipped", message.total_cents, tracking_number(message.order.order_id))

    def _send(self, message: PaymentTaken, decision: Decision) -> None:
        units = sum([line.quantity for line in message.order.lines])
        self.store.set_quantity("units", (self.store.quantity("units") or 0) + units)

    def _shipped(self, message: PaymentTaken, decision: Decision) -> OrderShipped:
        return OrderShipped(message.order, decision.amount_cents, decision.detail)

    def balance(self) -> Mapping[str, int]:
        """``units``: what left the house."""
        return {"units": self.store.quantity("units") or 0}


def tracking_number(order_id: str) -> str:
    """Thirteen characters as UPU standard S10 has them: ``RR``, eight digits and their check digit, country."""
    serial = f"{number_of(order_id) % 10**8:08d}"
    check = 11 - sum(map(mul, _WEIGHTS, map(int, serial))) % 11
    return f"RR{serial}{ {10: 0, 11: 5}.get(check, check) }GB"
