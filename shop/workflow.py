"""Which service consumes which message. Transports ask here; nothing else says it."""

from shop.messages import (
    KIND,
    Message,
    OrderClosed,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PaymentDeclined,
    PaymentTaken,
    PlaceOrder,
    StockReleased,
    StockReserved,
)

SERVICES = ("user", "product", "payment", "shipping")
_PLACE = {service: place for place, service in enumerate(SERVICES)}
FRONT = SERVICES[0]
"""The service at which buyers order, and which tells them the outcome."""

_CONSUMER: dict[type[Message], str] = {
    PlaceOrder: "user",
    OrderPlaced: "product",
    StockReserved: "payment",
    PaymentTaken: "shipping",
    PaymentDeclined: "product",
    OutOfStock: "user",
    StockReleased: "user",
    OrderShipped: "user",
}


def consumer_of(message: Message) -> str:
    """The name of the service that consumes ``message``; KeyError for the outcome, which no service consumes."""
    return _CONSUMER[type(message)]


def consumer_of_type(message_type: type[Message]) -> str:
    """The same for a type of message."""
    return _CONSUMER[message_type]


def consumed_by(service: str) -> tuple[type[Message], ...]:
    """The messages that ``service`` consumes."""
    return tuple(message for message, consumer in _CONSUMER.items() if consumer == service)


def consumes(service: str, message_type: type[Message]) -> bool:
    """Whether that is for ``service``."""
    return _CONSUMER.get(message_type) == service


def kinds_consumed_by(service: str) -> tuple[str, ...]:
    """Their names on a wire."""
    return tuple(KIND[message] for message in consumed_by(service))


_TOLD_BY: dict[str, tuple[type[Message], ...]] = {
    "user": (OrderPlaced, OrderClosed),
    "product": (StockReserved, OutOfStock, StockReleased),
    "payment": (PaymentTaken, PaymentDeclined),
    "shipping": (OrderShipped,),
}


def told_by(service: str) -> tuple[type[Message], ...]:
    """The facts that ``service`` may answer with."""
    return _TOLD_BY[service]


REQUEST: dict[str, type[Message]] = {
    "user": PlaceOrder,
    "product": OrderPlaced,
    "payment": StockReserved,
    "shipping": PaymentTaken,
}
"""What a chain asks of each service; everything else that a service consumes comes back to it as an answer."""


def is_outcome(message: Message) -> bool:
    """Whether the workflow ends with ``message``."""
    return type(message) is OrderClosed


def is_onward(service: str, consumer: str) -> bool:
    """Whether ``consumer`` stands behind ``service`` in the chain, so that a chain asks it instead of returning."""
    return _PLACE[consumer] > _PLACE[service]


_ASKED_NEXT = {
    (service, message): consumer
    for service in SERVICES
    for message, consumer in _CONSUMER.items()
    if is_onward(service, consumer)
}


def asked_next(service: str, fact: type[Message]) -> str | None:
    """Whom ``service`` asks with that fact in a chain; None when the fact is its answer to whoever asked it."""
    return _ASKED_NEXT.get((service, fact))
