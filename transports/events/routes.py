"""A choreography's routes: every message is a fact that is published under its own name."""

from shop.messages import KIND
from transports.backends.routes import Routes
from transports.base import Style

CHOREOGRAPHY = Routes(style=Style.CHOREOGRAPHY, place_of=KIND)
