"""The Kafka backend: topics, consumer groups and offset commits."""

from transports.backends.kafka.transport import KafkaTransport, build_traits

__all__ = ["KafkaTransport", "build_traits"]
