"""Facts published to whoever listens, over Kafka."""

from transports.backends.kafka import KafkaTransport, traits_of
from transports.events.routes import CHOREOGRAPHY


class EventsTransport(KafkaTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = traits_of(CHOREOGRAPHY)
