"""RabbitMQ: queues, confirms and acknowledgements, over aio-pika."""

from transports.backends.rabbitmq.transport import RabbitMQTransport, traits_of

__all__ = ["RabbitMQTransport", "traits_of"]
