"""Events on a log: Kafka, a topic per fact, a consumer group per service."""

from transports.events.transport import EventsTransport

__all__ = ["EventsTransport"]
