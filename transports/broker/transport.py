"""Commands through a broker, over RabbitMQ."""

from transports.backends.rabbitmq import RabbitMQTransport, traits_of
from transports.broker.routes import PIPELINE


class BrokerTransport(RabbitMQTransport):
    method = "broker"
    routes = PIPELINE
    traits = traits_of(PIPELINE)
