"""What the services say to one another: commands in the imperative, facts in the past tense.

Every message carries the order, so the size of an order acts on every hop.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeVar, dataclass_transform

PROBE_PREFIX = "probe-"
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def _value(of: type[T]) -> type[T]:
    """A dataclass that is frozen for the type checker alone: frozen in earnest it takes four times as long to make."""
    return dataclass(slots=True, unsafe_hash=True)(of)


@_value
class Line:
    """One line of an order."""

    sku: str
    name: str
    quantity: int
    price_cents: int


@_value
class Order:
    """What a buyer wants. ``document`` is an attachment that nobody reads."""

    order_id: str
    user_id: str
    card: str
    address: str
    lines: tuple[Line, ...]
    document: bytes = b""

    @property
    def is_probe(self) -> bool:
        """A probe shows that the whole chain answers; it stands outside stock, audit and counts."""
        return self.order_id.startswith(PROBE_PREFIX)


@_value
class PlaceOrder:
    order: Order


@_value
class OrderPlaced:
    order: Order
    email: str


@_value
class StockReserved:
    order: Order
    total_cents: int


@_value
class OutOfStock:
    order: Order
    reason: str


@_value
class PaymentTaken:
    order: Order
    total_cents: int
    payment_id: str


@_value
class PaymentDeclined:
    order: Order
    total_cents: int
    reason: str


@_value
class StockReleased:
    order: Order
    reason: str


@_value
class OrderShipped:
    order: Order
    total_cents: int
    tracking_number: str


@_value
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


def kind_of(message_type: type[Message]) -> str:
    """The name of a message on a wire: ``StockReserved`` is ``stock-reserved``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", message_type.__name__).lower()


KIND: dict[type[Message], str] = {message_type: kind_of(message_type) for message_type in MESSAGES}
TYPE: dict[str, type[Message]] = {kind: message_type for message_type, kind in KIND.items()}
