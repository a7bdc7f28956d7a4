"""Facts over RabbitMQ: published to a topic exchange, from which every subscriber has a queue of its own."""

from transports.events.routes import CHOREOGRAPHY
from transports.products.rabbitmq import RabbitMQTransport, traits_of


class EventsOnRabbitMQ(RabbitMQTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = traits_of(CHOREOGRAPHY)
