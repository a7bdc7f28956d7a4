"""The buyer on Kafka: produces orders and reads outcomes from its own partition."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from shop.messages import PlaceOrder
from transports.backends.kafka.bounded_decompression import BoundedReader, limit_decompression
from transports.backends.kafka.client_libraries import Producer, open_producer, read_from_end
from transports.backends.kafka.config import Config, max_batch_bytes
from transports.backends.kafka.headers import build_kind_header, build_reply_header
from transports.backends.kafka.topology import RETRY_PAUSE_S, TrialTopics, is_transient
from transports.base import Client, Receipt, Setting
from transports.errors import NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable
from transports.pending import PendingOutcomes
from transports.security import BUYER
from transports.wire import load_codec

_log = logging.getLogger(__name__)


class KafkaClient(Client):
    def __init__(self, producer: Producer, reader: BoundedReader, places: TrialTopics, setting: Setting) -> None:
        self._producer = producer
        self._setting = setting
        self._codec = load_codec(setting.codec)
        self._topic = places.topic_by_type[PlaceOrder]
        self._headers = [build_reply_header(setting.worker)]
        if not places.kind_by_topic:
            self._headers.append(build_kind_header(PlaceOrder))
        self._outcomes = PendingOutcomes(self._codec)
        self._reader = reader

    async def submit(self, order: PlaceOrder) -> Receipt:
        body = self._codec.encode(order)
        if len(body) > self._setting.max_order_bytes:
            raise TooLarge(len(body), self._setting.max_order_bytes)
        order_id = order.order.order_id
        finished = self._outcomes.register(order.order)
        try:
            async with asyncio.timeout(self._setting.deadline_s):
                sent = await self._producer.send(self._topic, body, key=order_id.encode(), headers=self._headers)
                await sent
        except BaseException as error:
            self._outcomes.abandon(order_id, finished)
            if isinstance(error, KafkaError | TimeoutError):
                raise translate_error(error, self._setting) from error
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def listen(self) -> None:
        """Receives outcomes until cancelled."""
        with limit_decompression(max_batch_bytes(self._setting)):
            await self._listen()

    async def _listen(self) -> None:
        while True:
            try:
                fetched, left_out = await self._reader.fetch(timeout_ms=1000)
            except KafkaError as error:
                if not is_transient(error):
                    self._outcomes.fail(translate_error(error, self._setting))
                _log.warning("outcomes are late: %r", error)
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            at_ns = time.monotonic_ns()
            for place in left_out:
                _log.warning("an outcome is over the limit when it is inflated: %s", place)
            for records in fetched.values():
                for record in records:
                    key = (record.key or b"").decode(errors="replace")
                    if not self._outcomes.receive_outcome(key, record.value or b"", at_ns):
                        self.duplicated += 1


def translate_error(error: KafkaError | TimeoutError, setting: Setting) -> TransportError:
    """Returns the TransportError for an error of aiokafka."""
    where = setting.servers["kafka"]
    if isinstance(error, TimeoutError | KafkaTimeoutError | RequestTimedOutError):
        return NoOutcome(f"Kafka at {where} did not acknowledge within {setting.deadline_s:g} s")
    if isinstance(error, KafkaConnectionError) or error.retriable:
        return Unreachable(f"Kafka cannot be reached at {where}: {error or type(error).__name__}")
    return NotAccepted(f"Kafka did not take a record: {error or type(error).__name__}")


@asynccontextmanager
async def connect_buyer(setting: Setting, config: Config, places: TrialTopics) -> AsyncIterator[Client]:
    """Opens the buyer's producer and consumer as a Client. Raises Unreachable."""
    mine = TopicPartition(places.outcome_topic, setting.worker)
    async with AsyncExitStack() as stack:
        try:
            producer = await stack.enter_async_context(open_producer(config, setting, BUYER))
            consumer, begins = await stack.enter_async_context(read_from_end(config, setting, BUYER, mine))
            reader = BoundedReader(consumer, {mine: begins})
        except KafkaError as error:
            raise Unreachable(f"Kafka does not answer at {setting.servers['kafka']}: {error}") from error
        client = KafkaClient(producer, reader, places, setting)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
