"""A choreography's routes: every message is a fact that is published under its own name."""

from shop.messages import KIND
from transports.base import Style
from transports.products.routes import Routes

CHOREOGRAPHY = Routes(style=Style.CHOREOGRAPHY, place_of=KIND)
