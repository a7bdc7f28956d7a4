"""Events that are published to whoever listens: a topic per fact, on Kafka unless another product is asked for."""

from transports.events.transport import EventsTransport

__all__ = ["EventsTransport"]
