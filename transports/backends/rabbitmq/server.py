"""A service on its queue: handle, publish, confirm, acknowledge."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shop.messages import Message
from shop.workflow import is_outcome, kinds_consumed_by
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.topology import LIBRARY_ERRORS, Places, queue_on
from transports.base import Serving, Setting
from transports.dispatch import Desk
from transports.errors import NoOutcome, Unreachable, Unreadable
from transports.security import AUTH, teller_of
from transports.wire import codec_named

_log = logging.getLogger(__name__)

_CANCEL_S = 5.0


class Consumer:
    """What a service does with a delivery."""

    def __init__(self, desk: Desk, serving: Serving, publisher: Publisher, places: Places, setting: Setting) -> None:
        self._desk = desk
        self._serving = serving
        self._publisher = publisher
        self._places = places
        self._codec = codec_named(setting.codec)
        self._senders_are_told = setting.security == AUTH
        self._kinds = frozenset(kinds_consumed_by(desk.service.name))
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self, delivery: AbstractIncomingMessage) -> None:
        """Acknowledged when the fact that follows is confirmed; what cannot succeed goes to the dead-letter queue."""
        self._in_hand += 1
        self._idle.clear()
        try:
            await self._take(delivery)
        except LIBRARY_ERRORS as error:
            # The connection is gone, so the broker delivers this message again.
            _log.warning("lost RabbitMQ with a message in hand: %r", error)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
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
            fact = await self._desk.handle(message, arrived_ns)
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
            raise Unreadable(f"the {self._desk.service.name} service consumes no {kind!r}")
        # Its right to an exchange lets a user reach every queue behind it: who it was is told by RabbitMQ.
        if self._senders_are_told and delivery.user_id != (teller := teller_of(kind)):
            raise Unreadable(f"{delivery.user_id or 'nobody'} may not send {kind!r}, which comes from {teller}")
        return self._codec.decode(kind, delivery.body)

    async def _publish(self, fact: Message, reply_to: str | None) -> None:
        key = self._places.key_for(fact, reply_to)
        if key is not None:
            await self._publisher.publish(key, fact, None if is_outcome(fact) else reply_to)

    async def finished(self) -> None:
        """Wait until nothing is in hand."""
        await self._idle.wait()


@asynccontextmanager
async def consuming(channel: AbstractChannel, consumer: Consumer, queue: str, prefetch: int) -> AsyncIterator[None]:
    """Deliveries to ``consumer`` until exit; then no new ones, and those in hand are finished."""
    await channel.set_qos(prefetch_count=prefetch)
    source = await queue_on(channel, queue)
    tag = await source.consume(consumer.take)
    try:
        yield
    finally:
        with suppress(*LIBRARY_ERRORS):
            async with asyncio.timeout(_CANCEL_S):  # aio-pika waits for a broker that is away without end
                await source.cancel(tag)
        await consumer.finished()
