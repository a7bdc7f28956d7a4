"""Commands over Kafka: a topic is a service's inbox, and outcomes come back on a topic for replies."""

from transports.backends.kafka import KafkaTransport, traits_of
from transports.broker.routes import PIPELINE


class BrokerOnKafka(KafkaTransport):
    method = "broker"
    routes = PIPELINE
    traits = traits_of(PIPELINE)
