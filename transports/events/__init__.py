"""The events method: every fact is published to its topic, on Kafka unless RabbitMQ is set."""

from transports.events.transport import EventsTransport

__all__ = ["EventsTransport"]
