"""Commands over Kafka: a topic is a service's inbox, and outcomes come back on a topic for replies."""

from transports.broker.routes import PIPELINE
from transports.products.kafka import KafkaTransport, traits_of


class BrokerOnKafka(KafkaTransport):
    method = "broker"
    routes = PIPELINE
    traits = traits_of(PIPELINE)
