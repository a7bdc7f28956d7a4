"""The way of a body: the same hops as those of an order that ships."""

from collections.abc import Mapping
from itertools import pairwise

from shop.messages import Message, OrderClosed, OrderPlaced, OrderShipped, PaymentTaken, PlaceOrder, StockReserved
from shop.workflow import SERVICES, consumed_by

ROUTE: tuple[type[Message], ...] = (PlaceOrder, OrderPlaced, StockReserved, PaymentTaken, OrderShipped, OrderClosed)


def hops_of(service: str) -> Mapping[type[Message], type[Message]]:
    """What this service passes on as what."""
    consumed = consumed_by(service)
    return {taken: passed for taken, passed in pairwise(ROUTE) if taken in consumed}


def onward_of(service: str) -> str | None:
    """The next service of a chain; None at its end."""
    place = SERVICES.index(service) + 1
    return SERVICES[place] if place < len(SERVICES) else None
