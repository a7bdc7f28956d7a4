"""Routes of the broker method: each message goes to the queue of the service it is for."""

from shop.messages import KIND_BY_TYPE, OrderClosed
from shop.workflow import find_consumer_of_type
from transports.backends.routes import Routes
from transports.base import Style

PIPELINE = Routes(
    style=Style.PIPELINE,
    place_of={kind: "reply" if kind is OrderClosed else find_consumer_of_type(kind) for kind in KIND_BY_TYPE},
)
