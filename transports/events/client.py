"""The buyer: publishes place-order, hears order-closed on a partition of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from shop.messages import OrderClosed, PlaceOrder
from transports.base import Client, Finished, Receipt, Setting
from transports.errors import NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable, Unreadable
from transports.events.config import Config, consumer_options, producer_options
from transports.events.server import reply_header
from transports.events.topology import OUTCOME, started, topic_of
from transports.wire import codec_named


class EventsClient(Client):
    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, setting: Setting) -> None:
        self._producer = producer
        self._consumer = consumer
        self._setting = setting
        self._codec = codec_named(setting.codec)
        self._topic = topic_of(setting, PlaceOrder)
        self._headers = [reply_header(setting.worker)]
        self._waiting: dict[str, asyncio.Future[Finished]] = {}

    async def submit(self, order: PlaceOrder) -> Receipt:
        body = self._codec.encode(order)
        if len(body) > self._setting.max_order_bytes:
            raise TooLarge(len(body), self._setting.max_order_bytes)
        order_id = order.order.order_id
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._waiting[order_id] = finished
        try:
            async with asyncio.timeout(self._setting.deadline_s):
                sent = await self._producer.send(self._topic, body, key=order_id.encode(), headers=self._headers)
                await sent
        except BaseException as error:
            self._waiting.pop(order_id, None)
            if isinstance(error, KafkaError | TimeoutError):
                raise translated(error, self._setting) from error
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def listen(self) -> None:
        """Outcomes as they come, until cancelled."""
        while True:
            fetched = await self._consumer.getmany(timeout_ms=1000)
            at_ns = time.monotonic_ns()
            for records in fetched.values():
                for record in records:
                    self._hear(record.key or b"", record.value or b"", at_ns)

    def _hear(self, key: bytes, body: bytes, at_ns: int) -> None:
        finished = self._waiting.pop(key.decode(errors="replace"), None)
        if finished is None or finished.done():
            self.duplicated += 1
            return
        try:
            outcome = self._codec.decode(OUTCOME, body)
            assert isinstance(outcome, OrderClosed)
        except Unreadable as error:
            finished.set_exception(error)
        else:
            finished.set_result(Finished(outcome, at_ns))


def translated(error: KafkaError | TimeoutError, setting: Setting) -> TransportError:
    """Theirs to ours."""
    where = setting.servers["kafka"]
    if isinstance(error, TimeoutError | KafkaTimeoutError | RequestTimedOutError):
        return NoOutcome(f"Kafka at {where} did not acknowledge within {setting.deadline_s:g} s")
    if isinstance(error, KafkaConnectionError) or error.retriable:
        return Unreachable(f"Kafka cannot be reached at {where}: {error or type(error).__name__}")
    return NotAccepted(f"Kafka did not take a record: {error or type(error).__name__}")


@asynccontextmanager
async def buying(setting: Setting, config: Config) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    mine = TopicPartition(topic_of(setting, OrderClosed), setting.worker)
    async with AsyncExitStack() as stack:
        try:
            producer = AIOKafkaProducer(**producer_options(config, setting))
            await stack.enter_async_context(started(producer))
            consumer = AIOKafkaConsumer(**consumer_options(config, setting))
            # By assignment and without a group: nobody else reads this partition.
            consumer.assign([mine])
            await stack.enter_async_context(started(consumer))
            await consumer.seek_to_end(mine)
            await consumer.position(mine)
        except KafkaError as error:
            raise Unreachable(f"Kafka does not answer at {setting.servers['kafka']}: {error}") from error
        client = EventsClient(producer, consumer, setting)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
