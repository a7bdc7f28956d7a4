"""Maps each message to the service that consumes it; the only place that says so."""

from shop.messages import (
    KIND_BY_TYPE,
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
_POSITION = {service: place for place, service in enumerate(SERVICES)}
ENTRY_SERVICE = SERVICES[0]
"""The service that takes the buyers' orders and sends them the outcomes."""

_CONSUMER_BY_TYPE: dict[type[Message], str] = {
    PlaceOrder: "user",
    OrderPlaced: "product",
    StockReserved: "payment",
    PaymentTaken: "shipping",
    PaymentDeclined: "product",
    OutOfStock: "user",
    StockReleased: "user",
    OrderShipped: "user",
}


def find_consumer(message: Message) -> str:
    """Returns the name of the service that consumes ``message``.

    Raises KeyError for OrderClosed, which none consumes.
    """
    return _CONSUMER_BY_TYPE[type(message)]


def find_consumer_of_type(message_type: type[Message]) -> str:
    """Returns the name of the service that consumes messages of this type. Raises KeyError for OrderClosed."""
    return _CONSUMER_BY_TYPE[message_type]


def list_consumed_types(service: str) -> tuple[type[Message], ...]:
    """Returns the types of message that ``service`` consumes."""
    return tuple(message for message, consumer in _CONSUMER_BY_TYPE.items() if consumer == service)


def consumes(service: str, message_type: type[Message]) -> bool:
    """Returns whether ``service`` consumes messages of this type."""
    return _CONSUMER_BY_TYPE.get(message_type) == service


def list_consumed_kinds(service: str) -> tuple[str, ...]:
    """Returns the wire names of the messages that ``service`` consumes."""
    return tuple(KIND_BY_TYPE[message] for message in list_consumed_types(service))


_ANSWER_TYPES: dict[str, tuple[type[Message], ...]] = {
    "user": (OrderPlaced, OrderClosed),
    "product": (StockReserved, OutOfStock, StockReleased),
    "payment": (PaymentTaken, PaymentDeclined),
    "shipping": (OrderShipped,),
}


def list_answer_types(service: str) -> tuple[type[Message], ...]:
    """Returns the types of fact that ``service`` may answer with."""
    return _ANSWER_TYPES[service]


REQUEST_TYPES: dict[str, type[Message]] = {
    "user": PlaceOrder,
    "product": OrderPlaced,
    "payment": StockReserved,
    "shipping": PaymentTaken,
}
"""The message with which a chain calls each service; all others that a service consumes return to it as answers."""


def is_outcome(message: Message) -> bool:
    """Returns whether the workflow ends with ``message``."""
    return type(message) is OrderClosed


def is_downstream(service: str, consumer: str) -> bool:
    """Returns whether ``consumer`` comes after ``service`` in a chain, so that it is called instead of returned to."""
    return _POSITION[consumer] > _POSITION[service]


_NEXT_SERVICE = {
    (service, message): consumer
    for service in SERVICES
    for message, consumer in _CONSUMER_BY_TYPE.items()
    if is_downstream(service, consumer)
}


def find_next_service(service: str, fact: type[Message]) -> str | None:
    """Returns the service that ``service`` calls with this fact in a chain.

    Returns None if ``service`` returns the fact to its caller.
    """
    return _NEXT_SERVICE.get((service, fact))


def list_returned_types(service: str) -> tuple[type[Message], ...]:
    """Returns the types of fact that may come back to the caller of ``service`` in a chain."""
    found: dict[type[Message], None] = {}
    for fact in list_answer_types(service):
        asked = find_next_service(service, fact)
        came = (fact,) if asked is None else list_returned_types(asked)
        found |= dict.fromkeys(one for one in came if asked is None or not consumes(service, one))
    return tuple(found)
