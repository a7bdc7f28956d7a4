"""What a product has to know of a method: where messages go, and who listens there."""

from collections.abc import Mapping
from dataclasses import dataclass

from shop.messages import Message, OrderClosed
from shop.workflow import consumed_by
from transports.base import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """A method's routes. A place is a name without the trial's: of a queue, a routing key or a topic."""

    style: Style
    """A pipeline puts a message where its consumer listens, and an outcome where whoever ordered wants it. A
    choreography publishes both, and every subscriber has a queue or a group of its own."""
    place_of: Mapping[type[Message], str]
    """Where each type of message goes; an outcome to a part of its place, one for each load process."""

    @property
    def outcome(self) -> str:
        """Where those who order listen."""
        return self.place_of[OrderClosed]

    @property
    def published(self) -> bool:
        """To whoever listens: then a place has messages of one type."""
        return self.style is Style.CHOREOGRAPHY

    def heard_by(self, service: str) -> tuple[str, ...]:
        """The places at which ``service`` listens."""
        return tuple(dict.fromkeys(self.place_of[message] for message in consumed_by(service)))
