"""Asynchronous messages through a broker: RabbitMQ, a work queue per service, confirms and acknowledgements."""

from transports.broker.transport import BrokerTransport

__all__ = ["BrokerTransport"]
