"""Routes of a method: where each message goes and where each service listens."""

from collections.abc import Mapping
from dataclasses import dataclass

from shop.messages import Message, OrderClosed
from shop.workflow import list_consumed_types
from transports.base import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Where a method sends each message. A place is a queue, routing key or topic, named without the trial's prefix."""

    style: Style
    """A pipeline puts a message where its consumer listens, and an outcome where the buyer asks for it. A
    choreography publishes both, and every subscriber has a queue or a group of its own."""
    place_of: Mapping[type[Message], str]
    """The place of each type of message; an outcome's place has a part for each load process."""

    @property
    def outcome(self) -> str:
        """The place at which buyers listen for outcomes."""
        return self.place_of[OrderClosed]

    @property
    def is_choreography(self) -> bool:
        """Whether facts are published to all subscribers; then each place has messages of one type."""
        return self.style is Style.CHOREOGRAPHY

    def subscriptions(self, service: str) -> tuple[str, ...]:
        """Returns the places at which ``service`` listens."""
        return tuple(dict.fromkeys(self.place_of[message] for message in list_consumed_types(service)))
