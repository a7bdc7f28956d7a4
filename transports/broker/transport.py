"""Commands through a broker, over RabbitMQ."""

from transports.broker.routes import PIPELINE
from transports.products.rabbitmq import RabbitMQTransport, traits_of


class BrokerTransport(RabbitMQTransport):
    method = "broker"
    routes = PIPELINE
    traits = traits_of(PIPELINE)
