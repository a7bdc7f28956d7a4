"""Routes of the events method: each message is published under the name of its kind."""

from shop.messages import KIND_BY_TYPE
from transports.backends.routes import Routes
from transports.base import Style

CHOREOGRAPHY = Routes(style=Style.CHOREOGRAPHY, place_of=KIND_BY_TYPE)
