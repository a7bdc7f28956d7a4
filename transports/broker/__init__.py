"""Asynchronous messages through a broker: a work queue per service, on RabbitMQ unless another product is asked for."""

from transports.broker.transport import BrokerTransport

__all__ = ["BrokerTransport"]
