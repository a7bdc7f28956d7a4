"""Products that carry messages for a method: what is RabbitMQ's and what is Kafka's, whatever the method.

A method says where messages go and who listens (``routes.py``); a product has connections, producers and consumers. Any
method may run over any product.
"""
