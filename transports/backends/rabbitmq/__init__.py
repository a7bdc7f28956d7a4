"""The RabbitMQ backend: queues, publisher confirms and acknowledgements, by aio-pika."""

from transports.backends.rabbitmq.transport import RabbitMQTransport, build_traits

__all__ = ["RabbitMQTransport", "build_traits"]
