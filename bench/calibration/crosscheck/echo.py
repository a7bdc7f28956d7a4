"""Sends orders one hop through a broker and back, as PerfTest and EndToEndLatency do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import aio_pika
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.load.workload.orders import build_shipped_outcome
from shop.messages import PlaceOrder
from transports.base import Client, Finished, Receipt
from transports.wire import load_codec


class EchoClient(Client):
    """A client whose order is finished when its own id comes back."""

    def __init__(self) -> None:
        self._codec = load_codec("json")
        self._finished: dict[str, tuple[PlaceOrder, asyncio.Future[Finished]]] = {}

    async def publish(self, order_id: str, body: bytes) -> None:
        """Publishes an order; returns when the broker has confirmed it."""
        raise NotImplementedError

    async def submit(self, order: PlaceOrder) -> Receipt:
        order_id = order.order.order_id
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._finished[order_id] = order, finished
        await self.publish(order_id, self._codec.encode(order))
        return Receipt(time.monotonic_ns(), finished)

    def finish_order(self, order_id: str) -> None:
        order, finished = self._finished.pop(order_id)
        if not finished.done():
            finished.set_result(Finished(build_shipped_outcome(order), time.monotonic_ns()))


class _RabbitEcho(EchoClient):
    def __init__(self, exchange: aio_pika.abc.AbstractExchange, queue: str) -> None:
        super().__init__()
        self._exchange = exchange
        self._queue = queue

    async def publish(self, order_id: str, body: bytes) -> None:
        await self._exchange.publish(aio_pika.Message(body, message_id=order_id), self._queue)


@asynccontextmanager
async def open_rabbit_echo(url: str) -> AsyncIterator[Client]:
    """Opens an echo over RabbitMQ: a transient queue, publisher confirms, no acknowledgements, as PerfTest uses."""
    async with await aio_pika.connect(url) as publishing, await aio_pika.connect(url) as consuming:
        channel = await publishing.channel(publisher_confirms=True)
        listening = await consuming.channel()
        queue = await listening.declare_queue(exclusive=True)
        echo = _RabbitEcho(channel.default_exchange, queue.name)

        async def on_message(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            echo.finish_order(message.message_id or "")

        await queue.consume(on_message, no_ack=True)
        yield echo


class _KafkaEcho(EchoClient):
    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        super().__init__()
        self._producer = producer
        self._topic = topic

    async def publish(self, order_id: str, body: bytes) -> None:
        await self._producer.send_and_wait(self._topic, body, key=order_id.encode())


@asynccontextmanager
async def create_topic(bootstrap: str) -> AsyncIterator[str]:
    """Creates a topic of one partition and deletes it when the context ends."""
    name = f"crosscheck-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


@asynccontextmanager
async def open_kafka_echo(bootstrap: str, topic: str) -> AsyncIterator[Client]:
    """Opens an echo over Kafka: acks=all, no linger, and a consumer that waits on its partition."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="latest", fetch_max_wait_ms=500)
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()
    await asyncio.gather(*(consumer.position(partition) for partition in consumer.assignment()))
    echo = _KafkaEcho(producer, topic)

    async def listen() -> None:
        async for record in consumer:
            echo.finish_order(record.key.decode())

    listening = asyncio.create_task(listen())
    try:
        yield echo
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await consumer.stop()
        await producer.stop()
