"""Defines the route of a body: the same hops as those of an order that ships."""

from collections.abc import Mapping
from itertools import pairwise

from shop.messages import Message, OrderClosed, OrderPlaced, OrderShipped, PaymentTaken, PlaceOrder, StockReserved
from shop.workflow import SERVICES, list_consumed_types

ROUTE: tuple[type[Message], ...] = (PlaceOrder, OrderPlaced, StockReserved, PaymentTaken, OrderShipped, OrderClosed)


def find_hops(service: str) -> Mapping[type[Message], type[Message]]:
    """Returns what this service passes on as what, by type of message."""
    consumed = list_consumed_types(service)
    return {taken: passed for taken, passed in pairwise(ROUTE) if taken in consumed}


def next_service(service: str) -> str | None:
    """Returns the next service of the chain; None at its end."""
    place = SERVICES.index(service) + 1
    return SERVICES[place] if place < len(SERVICES) else None
