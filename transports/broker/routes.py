"""A pipeline's routes: a message to the service that consumes it, an outcome to whoever ordered."""

from shop.messages import KIND, OrderClosed
from shop.workflow import consumer_of_type
from transports.backends.routes import Routes
from transports.base import Style

PIPELINE = Routes(
    style=Style.PIPELINE,
    place_of={kind: "reply" if kind is OrderClosed else consumer_of_type(kind) for kind in KIND},
)
