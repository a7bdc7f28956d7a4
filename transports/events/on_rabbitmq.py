"""Facts over RabbitMQ: published to a topic exchange, from which every subscriber has a queue of its own."""

from transports.backends.rabbitmq import RabbitMQTransport, traits_of
from transports.events.routes import CHOREOGRAPHY


class EventsOnRabbitMQ(RabbitMQTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = traits_of(CHOREOGRAPHY)
