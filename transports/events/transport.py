"""The events method on Kafka: a topic per kind of fact."""

from transports.backends.kafka import KafkaTransport, build_traits
from transports.events.routes import CHOREOGRAPHY


class EventsTransport(KafkaTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = build_traits(CHOREOGRAPHY)
