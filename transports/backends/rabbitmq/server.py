"""Consumes for a service on RabbitMQ: handle, publish, wait for the confirm, acknowledge."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shop.messages import Message
from shop.workflow import is_outcome, list_consumed_kinds
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.topology import LIBRARY_ERRORS, TrialQueues, find_queue
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, build_refusal
from transports.errors import ContentConflict, NoOutcome, Unreachable, Unreadable
from transports.security import AUTH, find_producer_role
from transports.wire import load_codec

_log = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 5.0


class DeliveryHandler:
    """Handles the deliveries of one service."""

    def __init__(
        self,
        processor: MessageProcessor,
        serving: ServingStats,
        publisher: Publisher,
        places: TrialQueues,
        setting: Setting,
    ) -> None:
        self._processor = processor
        self._serving = serving
        self._publisher = publisher
        self._places = places
        self._codec = load_codec(setting.codec)
        self._verifies_senders = setting.security == AUTH
        self._kinds = frozenset(list_consumed_kinds(processor.service.name))
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self, delivery: AbstractIncomingMessage) -> None:
        """Handles a delivery and acknowledges it when the resulting fact is confirmed.

        A message that can never succeed goes to the dead-letter queue.
        """
        self._in_progress += 1
        self._idle.clear()
        try:
            await self._take(delivery)
        except LIBRARY_ERRORS as error:
            # The connection is gone, so the broker delivers this message again.
            _log.warning("lost RabbitMQ with a message in hand: %r", error)
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()

    async def _take(self, delivery: AbstractIncomingMessage) -> None:
        arrived_ns = time.monotonic_ns()
        try:
            message = self._read(delivery)
        except Unreadable as error:
            self._serving.unreadable += 1
            _log.warning("unreadable, to the dead-letter queue: %s", error)
            await delivery.reject(requeue=False)
            return
        try:
            try:
                fact = await self._processor.handle(message, arrived_ns)
            except ContentConflict as error:
                if (refusal := build_refusal(message, str(error))) is not None:
                    await self._publish(refusal, delivery.reply_to)
                raise
            await self._publish(fact, delivery.reply_to)
        except (Unreachable, NoOutcome) as error:
            self._serving.failed += 1
            _log.warning("not carried on, back to the queue: %s", error)
            await delivery.nack(requeue=True)
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            self._serving.failed += 1
            _log.warning("cannot be carried on, to the dead-letter queue: %r", error)
            await delivery.reject(requeue=False)
        else:
            self._serving.handled += 1
            await delivery.ack()

    def _read(self, delivery: AbstractIncomingMessage) -> Message:
        kind = delivery.type or ""
        if kind not in self._kinds:
            raise Unreadable(f"the {self._processor.service.name} service consumes no {kind!r}")
        # A right to an exchange lets a user reach every queue behind it: RabbitMQ vouches for the sender's name.
        if self._verifies_senders and delivery.user_id != (teller := find_producer_role(kind)):
            raise Unreadable(f"{delivery.user_id or 'nobody'} may not send {kind!r}, which comes from {teller}")
        return self._codec.decode(kind, delivery.body)

    async def _publish(self, fact: Message, reply_to: str | None) -> None:
        key = self._places.choose_routing_key(fact, reply_to)
        if key is not None:
            await self._publisher.publish(key, fact, None if is_outcome(fact) else reply_to)

    async def finished(self) -> None:
        """Waits until no delivery is in progress."""
        await self._idle.wait()


@asynccontextmanager
async def consume_queue(
    channel: AbstractChannel, consumer: DeliveryHandler, queue: str, prefetch: int
) -> AsyncIterator[None]:
    """Consumes ``queue`` with ``consumer`` until exit; then takes no new deliveries and finishes those in progress."""
    await channel.set_qos(prefetch_count=prefetch)
    source = await find_queue(channel, queue)
    tag = await source.consume(consumer.take)
    try:
        yield
    finally:
        with suppress(*LIBRARY_ERRORS):
            async with asyncio.timeout(_CANCEL_TIMEOUT_S):  # aio-pika waits for a broker that is away without end
                await source.cancel(tag)
        await consumer.finished()
