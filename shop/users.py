"""The user service: accepts orders and closes them as shipped or rejected."""

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
from shop.store import MAX_DETAIL_CHARS, Decision


class UserService(Service):
    name = "user"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            PlaceOrder: Handler(self._decide_placed, self._count_order, self._build_order_placed),
            OrderShipped: Handler(self._decide_shipped, self._count_end, self._build_order_closed),
            OutOfStock: Handler(self._decide_rejected, self._count_end, self._build_order_closed),
            StockReleased: Handler(self._decide_rejected, self._count_end, self._build_order_closed),
        }

    def _decide_placed(self, message: PlaceOrder) -> Decision:
        return Decision("order-placed")

    def _count_order(self, message: PlaceOrder, decision: Decision) -> None:
        self._add("placed", 1)

    def _build_order_placed(self, message: PlaceOrder, decision: Decision) -> OrderPlaced:
        return OrderPlaced(message.order, f"{message.order.user_id}@buyers.example")

    def _decide_shipped(self, message: OrderShipped) -> Decision:
        return Decision("shipped", message.total_cents, message.tracking_number[:MAX_DETAIL_CHARS])

    def _decide_rejected(self, message: OutOfStock | StockReleased) -> Decision:
        return Decision("rejected", 0, message.reason[:MAX_DETAIL_CHARS])

    def _count_end(self, message: Message, decision: Decision) -> None:
        self._add(decision.fact, 1)

    def _build_order_closed(
        self, message: OrderShipped | OutOfStock | StockReleased, decision: Decision
    ) -> OrderClosed:
        if decision.fact == "shipped":
            return OrderClosed(message.order, "shipped", decision.amount_cents, decision.detail, "")
        return OrderClosed(message.order, "rejected", 0, "", decision.detail)

    def _add(self, name: str, count: int) -> None:
        self.store.set_quantity(name, (self.store.quantity(name) or 0) + count)

    def balance(self) -> Mapping[str, int]:
        """Returns ``open``: the number of orders placed and not yet closed."""
        placed, shipped, rejected = (self.store.quantity(n) or 0 for n in ("placed", "shipped", "rejected"))
        return {"open": placed - shipped - rejected}
