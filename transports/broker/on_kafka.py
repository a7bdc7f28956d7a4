"""The broker method on Kafka: a topic per service as its inbox, a topic for replies."""

from transports.backends.kafka import KafkaTransport, build_traits
from transports.broker.routes import PIPELINE


class BrokerOnKafka(KafkaTransport):
    method = "broker"
    routes = PIPELINE
    traits = build_traits(PIPELINE)
