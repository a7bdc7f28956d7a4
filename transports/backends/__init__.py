"""RabbitMQ and Kafka as carriers of messages, whichever method runs over them.

A method says where messages go and which service listens (``routes.py``); a backend has the connections, producers and
consumers. Every brokered method can run over every backend.
"""
