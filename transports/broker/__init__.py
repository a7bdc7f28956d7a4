"""The broker method: a work queue per service, on RabbitMQ unless Kafka is set."""

from transports.broker.transport import BrokerTransport

__all__ = ["BrokerTransport"]
