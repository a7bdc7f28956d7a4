"""Kafka: topics, consumer groups and commits."""

from transports.backends.kafka.transport import KafkaTransport, traits_of

__all__ = ["KafkaTransport", "traits_of"]
