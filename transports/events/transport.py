"""Facts published to whoever listens, over Kafka."""

from transports.events.routes import CHOREOGRAPHY
from transports.products.kafka import KafkaTransport, traits_of


class EventsTransport(KafkaTransport):
    method = "events"
    routes = CHOREOGRAPHY
    traits = traits_of(CHOREOGRAPHY)
