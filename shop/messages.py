"""Message types: one command, the facts that follow from it, and the order they all carry.

Commands are named in the imperative (PlaceOrder), facts in the past tense (OrderPlaced). Every message carries the
whole order, so the size of an order acts on every hop.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeVar, dataclass_transform

PROBE_PREFIX = "probe-"
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def _value_class(of: type[T]) -> type[T]:
    """Makes a dataclass that is frozen for type checkers only: really freezing it makes creation four times slower."""
    return dataclass(slots=True, unsafe_hash=True)(of)


@_value_class
class OrderLine:
    """One line of an order."""

    sku: str
    name: str
    quantity: int
    price_cents: int


@_value_class
class Order:
    """An order as the buyer placed it. ``document`` is an attachment that no service reads."""

    order_id: str
    user_id: str
    card: str
    address: str
    lines: tuple[OrderLine, ...]
    document: bytes = b""

    @property
    def is_probe(self) -> bool:
        """Whether this is a probe, which tests that all services answer; it changes no stock, audit or count."""
        return self.order_id.startswith(PROBE_PREFIX)


@_value_class
class PlaceOrder:
    order: Order


@_value_class
class OrderPlaced:
    order: Order
    email: str


@_value_class
class StockReserved:
    order: Order
    total_cents: int


@_value_class
class OutOfStock:
    order: Order
    reason: str


@_value_class
class PaymentTaken:
    order: Order
    total_cents: int
    payment_id: str


@_value_class
class PaymentDeclined:
    order: Order
    total_cents: int
    reason: str


@_value_class
class StockReleased:
    order: Order
    reason: str


@_value_class
class OrderShipped:
    order: Order
    total_cents: int
    tracking_number: str


@_value_class
class OrderClosed:
    """The only outcome: shipped with a tracking number, or rejected with a reason."""

    order: Order
    status: Literal["shipped", "rejected"]
    total_cents: int
    tracking_number: str
    reason: str


Message = (
    PlaceOrder
    | OrderPlaced
    | StockReserved
    | OutOfStock
    | PaymentTaken
    | PaymentDeclined
    | StockReleased
    | OrderShipped
    | OrderClosed
)

MESSAGES: tuple[type[Message], ...] = (
    PlaceOrder,
    OrderPlaced,
    StockReserved,
    OutOfStock,
    PaymentTaken,
    PaymentDeclined,
    StockReleased,
    OrderShipped,
    OrderClosed,
)


def build_kind_name(message_type: type[Message]) -> str:
    """Returns the name of a message type on the wire: ``StockReserved`` is ``stock-reserved``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", message_type.__name__).lower()


KIND_BY_TYPE: dict[type[Message], str] = {message_type: build_kind_name(message_type) for message_type in MESSAGES}
TYPE_BY_KIND: dict[str, type[Message]] = {kind: message_type for message_type, kind in KIND_BY_TYPE.items()}
