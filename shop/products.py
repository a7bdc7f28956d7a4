"""The product service: prices, stock, reservations and their release."""

from collections.abc import Mapping

from shop.catalogue import PLENTY, PRICES_CENTS, SOLD_OUT_SKU
from shop.messages import (
    Message,
    Order,
    OrderPlaced,
    OutOfStock,
    PaymentDeclined,
    StockReleased,
    StockReserved,
)
from shop.service import Handler, Service
from shop.store import DETAIL, Decision, Store

_RESERVED = "reserved units"


class ProductService(Service):
    name = "product"

    def __init__(self, store: Store, stock: Mapping[str, int] | None = None) -> None:
        """``stock`` is units by SKU for a store that holds none yet; by default plenty of everything but one SKU."""
        super().__init__(store)
        if stock is None:
            stock = {**dict.fromkeys(PRICES_CENTS, PLENTY), SOLD_OUT_SKU: 0}
        with store.transaction():
            for sku, units in stock.items():
                if store.quantity(sku) is None:
                    store.set_quantity(sku, units)
        self._initial_units = sum(stock.values())
        self._skus = tuple(stock)

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            OrderPlaced: Handler(self._judge, self._reserve, self._answered),
            PaymentDeclined: Handler(self._judge_release, self._release, self._released),
        }

    def _judge(self, message: OrderPlaced) -> Decision:
        total_cents = 0
        for line in message.order.lines:
            if line.quantity < 1:
                return Decision("out-of-stock", 0, f"{line.sku[:40]}: {line.quantity} is not a quantity")
            total_cents += line.quantity * PRICES_CENTS.get(line.sku, line.price_cents)
        for sku, wanted in units_by_sku(message.order).items():
            units = self.store.quantity(sku)
            if units is None:
                return Decision("out-of-stock", 0, f"{sku[:40]} is not sold here")
            if units < wanted:
                return Decision("out-of-stock", 0, f"{sku} is sold out")
        return Decision("stock-reserved", total_cents)

    def _reserve(self, message: OrderPlaced, decision: Decision) -> None:
        if decision.fact == "stock-reserved":
            self._move(message.order, -1)

    def _answered(self, message: OrderPlaced, decision: Decision) -> StockReserved | OutOfStock:
        if decision.fact == "stock-reserved":
            return StockReserved(message.order, decision.amount_cents)
        return OutOfStock(message.order, decision.detail)

    def _judge_release(self, message: PaymentDeclined) -> Decision:
        return Decision("stock-released", message.total_cents, message.reason[:DETAIL])

    def _release(self, message: PaymentDeclined, decision: Decision) -> None:
        self._move(message.order, +1)

    def _released(self, message: PaymentDeclined, decision: Decision) -> StockReleased:
        return StockReleased(message.order, decision.detail)

    def _move(self, order: Order, sign: int) -> None:
        """Units into the stock (+1) or out of it (-1)."""
        for sku, units in units_by_sku(order).items():
            self.store.set_quantity(sku, (self.store.quantity(sku) or 0) + sign * units)
            self.store.set_quantity(_RESERVED, (self.store.quantity(_RESERVED) or 0) - sign * units)

    def balance(self) -> Mapping[str, int]:
        """``missing``: units neither in stock nor reserved; anything but 0 is a broken book."""
        in_stock = sum(self.store.quantity(sku) or 0 for sku in self._skus)
        reserved = self.store.quantity(_RESERVED) or 0
        return {"missing": self._initial_units - in_stock - reserved}


def units_by_sku(order: Order) -> Mapping[str, int]:
    """How many of each an order wants, over all its lines."""
    units: dict[str, int] = {}
    for line in order.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return units
