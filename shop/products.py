"""The product service: checks prices and stock, reserves units and releases them."""

from collections.abc import Mapping

from shop.catalogue import PRICES_CENTS, SOLD_OUT_SKU, UNLIMITED_STOCK
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
from shop.store import MAX_DETAIL_CHARS, Decision, Store

_RESERVED_UNITS = "reserved units"


class ProductService(Service):
    name = "product"

    def __init__(self, store: Store, stock: Mapping[str, int] | None = None) -> None:
        """``stock`` is units by SKU for a store that holds none yet; by default plenty of everything but one SKU."""
        super().__init__(store)
        if stock is None:
            stock = {**dict.fromkeys(PRICES_CENTS, UNLIMITED_STOCK), SOLD_OUT_SKU: 0}
        with store.transaction():
            for sku, units in stock.items():
                if store.quantity(sku) is None:
                    store.set_quantity(sku, units)
        self._initial_units = sum(stock.values())
        self._skus = tuple(stock)

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            OrderPlaced: Handler(self._decide, self._reserve, self._build_fact),
            PaymentDeclined: Handler(self._decide_release, self._release, self._build_stock_released),
        }

    def _decide(self, message: OrderPlaced) -> Decision:
        total_cents = 0
        for line in message.order.lines:
            if line.quantity < 1:
                return Decision("out-of-stock", 0, f"{line.sku[:40]}: {line.quantity} is not a quantity")
            total_cents += line.quantity * PRICES_CENTS.get(line.sku, line.price_cents)
        for sku, wanted in count_units_by_sku(message.order).items():
            units = self.store.quantity(sku)
            if units is None:
                return Decision("out-of-stock", 0, f"{sku[:40]} is not sold here")
            if units < wanted:
                return Decision("out-of-stock", 0, f"{sku} is sold out")
        return Decision("stock-reserved", total_cents)

    def _reserve(self, message: OrderPlaced, decision: Decision) -> None:
        if decision.fact == "stock-reserved":
            self._move_stock(message.order, -1)

    def _build_fact(self, message: OrderPlaced, decision: Decision) -> StockReserved | OutOfStock:
        if decision.fact == "stock-reserved":
            return StockReserved(message.order, decision.amount_cents)
        return OutOfStock(message.order, decision.detail)

    def _decide_release(self, message: PaymentDeclined) -> Decision:
        return Decision("stock-released", message.total_cents, message.reason[:MAX_DETAIL_CHARS])

    def _release(self, message: PaymentDeclined, decision: Decision) -> None:
        self._move_stock(message.order, +1)

    def _build_stock_released(self, message: PaymentDeclined, decision: Decision) -> StockReleased:
        return StockReleased(message.order, decision.detail)

    def _move_stock(self, order: Order, sign: int) -> None:
        """Adds the units of an order to the stock (``sign`` +1) or takes them out (-1)."""
        for sku, units in count_units_by_sku(order).items():
            self.store.set_quantity(sku, (self.store.quantity(sku) or 0) + sign * units)
            self.store.set_quantity(_RESERVED_UNITS, (self.store.quantity(_RESERVED_UNITS) or 0) - sign * units)

    def balance(self) -> Mapping[str, int]:
        """Returns ``missing``: units neither in stock nor reserved; anything but 0 is an error in the books."""
        in_stock = sum(self.store.quantity(sku) or 0 for sku in self._skus)
        reserved = self.store.quantity(_RESERVED_UNITS) or 0
        return {"missing": self._initial_units - in_stock - reserved}


def count_units_by_sku(order: Order) -> Mapping[str, int]:
    """Returns how many units of each SKU an order wants, summed over its lines."""
    units: dict[str, int] = {}
    for line in order.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return units
