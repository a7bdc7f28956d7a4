"""The user service: takes orders, and tells buyers how they ended."""

from collections.abc import Mapping

from shop.messages import (
    Message,
    OrderClosed,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PlaceOrder,
    StockReleased,
)
from shop.service import Handler, Service
from shop.store import DETAIL, Decision


class UserService(Service):
    name = "user"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            PlaceOrder: Handler(self._register, self._count_order, self._placed),
            OrderShipped: Handler(self._ship, self._count_end, self._closed),
            OutOfStock: Handler(self._reject, self._count_end, self._closed),
            StockReleased: Handler(self._reject, self._count_end, self._closed),
        }

    def _register(self, message: PlaceOrder) -> Decision:
        return Decision("order-placed")

    def _count_order(self, message: PlaceOrder, decision: Decision) -> None:
        self._add("placed", 1)

    def _placed(self, message: PlaceOrder, decision: Decision) -> OrderPlaced:
        return OrderPlaced(message.order, f"{message.order.user_id}@buyers.example")

    def _ship(self, message: OrderShipped) -> Decision:
        return Decision("shipped", message.total_cents, message.tracking_number[:DETAIL])

    def _reject(self, message: OutOfStock | StockReleased) -> Decision:
        return Decision("rejected", 0, message.reason[:DETAIL])

    def _count_end(self, message: Message, decision: Decision) -> None:
        self._add(decision.fact, 1)

    def _closed(self, message: OrderShipped | OutOfStock | StockReleased, decision: Decision) -> OrderClosed:
        if decision.fact == "shipped":
            return OrderClosed(message.order, "shipped", decision.amount_cents, decision.detail, "")
        return OrderClosed(message.order, "rejected", 0, "", decision.detail)

    def _add(self, name: str, count: int) -> None:
        self.store.set_quantity(name, (self.store.quantity(name) or 0) + count)

    def balance(self) -> Mapping[str, int]:
        """``open``: orders placed and not yet ended."""
        placed, shipped, rejected = (self.store.quantity(n) or 0 for n in ("placed", "shipped", "rejected"))
        return {"open": placed - shipped - rejected}
