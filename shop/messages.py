"""What the services say to one another: commands in the imperative, facts in the past tense.

Every message carries the order, so the size of an order acts on every hop.
"""

import re
from dataclasses import dataclass
from typing import Literal

PROBE_PREFIX = "probe-"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order."""

    sku: str
    name: str
    quantity: int
    price_cents: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a buyer wants. ``document`` is an attachment that nobody reads; it gives an order its size."""

    order_id: str
    user_id: str
    card: str
    address: str
    lines: tuple[Line, ...]
    document: str = ""

    @property
    def is_probe(self) -> bool:
        """A probe shows that the whole chain answers; it stands outside stock, audit and counts."""
        return self.order_id.startswith(PROBE_PREFIX)


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    order: Order


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    order: Order
    email: str


@dataclass(frozen=True, slots=True)
class StockReserved:
    order: Order
    total_cents: int


@dataclass(frozen=True, slots=True)
class OutOfStock:
    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentTaken:
    order: Order
    total_cents: int
    payment_id: str


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    order: Order
    total_cents: int
    reason: str


@dataclass(frozen=True, slots=True)
class StockReleased:
    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    order: Order
    total_cents: int
    tracking_number: str


@dataclass(frozen=True, slots=True)
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
