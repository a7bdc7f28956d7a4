"""The broker method on RabbitMQ: a queue per service."""

from transports.backends.rabbitmq import RabbitMQTransport, build_traits
from transports.broker.routes import PIPELINE


class BrokerTransport(RabbitMQTransport):
    method = "broker"
    routes = PIPELINE
    traits = build_traits(PIPELINE)
