"""The events method on RabbitMQ: a topic exchange, and a queue per subscriber."""

from transports.backends.rabbitmq import RabbitMQTransport, build_traits
from transports.events.routes import CHOREOGRAPHY


class EventsOnRabbitMQ(RabbitMQTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = build_traits(CHOREOGRAPHY)
