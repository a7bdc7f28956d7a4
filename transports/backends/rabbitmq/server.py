"""Consumes for a service on RabbitMQ: handle, publish, wait for the confirm, acknowledge.

While the service cannot store or publish, its messages stay in hand, unacknowledged, up to the prefetch:
transports/probing.py.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelInvalidStateError

from shop.messages import Message
from shop.workflow import is_outcome, list_consumed_kinds
from transports.backends.rabbitmq.dead_letters import DeadLetterQueue
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.topology import LIBRARY_ERRORS, TrialQueues, find_queue
from transports.base import ServingStats, Setting
from transports.dead_letters import FAILED, PARKED, REFUSED, UNREADABLE
from transports.dispatch import MessageProcessor, build_refusal
from transports.errors import ContentConflict, NoOutcome, NotAccepted, TooLarge, Unavailable, Unreachable, Unreadable
from transports.probing import Halted, Parked, ProbingGate
from transports.security import AUTH, find_producer_role
from transports.wire import load_codec

_log = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 5.0
_REASON_BY_ERROR = ((Unreadable, UNREADABLE), (ContentConflict, REFUSED), (Parked, PARKED), (Exception, FAILED))


class DeliveryHandler:
    """Handles the deliveries of one service."""

    def __init__(
        self,
        processor: MessageProcessor,
        serving: ServingStats,
        publisher: Publisher,
        dead_letters: DeadLetterQueue,
        places: TrialQueues,
        setting: Setting,
    ) -> None:
        self._processor = processor
        self._serving = serving
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._park_after_s = setting.park_after_s
        self._gate = ProbingGate(setting.park_after_s)
        self._channel: object = None
        """The channel of the newest delivery."""
        self._places = places
        self._codec = load_codec(setting.codec)
        self._verifies_senders = setting.security == AUTH
        self._kinds = frozenset(list_consumed_kinds(processor.service.name))
        self._finishing = False
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self, delivery: AbstractIncomingMessage) -> None:
        """Handles a delivery and acknowledges it when the resulting fact is confirmed.

        A message that can never succeed, or did not for too long, goes to the dead-letter queue.
        """
        arrived_ns = time.monotonic_ns()
        self._in_progress += 1
        self._idle.clear()
        try:
            gate = self._choose_gate(delivery)
            try:
                message = self._read(delivery)
                carry_on = partial(self._carry_on, delivery, message, arrived_ns)
                if gate.closed:
                    await gate.retry(carry_on, delivery.delivery_tag or 0)
                else:
                    try:
                        await carry_on()
                    except Unavailable:
                        await gate.retry(carry_on, delivery.delivery_tag or 0)
            except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
                await self._give_back(delivery, error)
            else:
                self._serving.handled += 1
                await delivery.ack()
        except LIBRARY_ERRORS as error:
            # The connection is gone, so the broker delivers this message again.
            _log.warning("lost RabbitMQ with a message in hand: %r", error)
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()

    def _choose_gate(self, delivery: AbstractIncomingMessage) -> ProbingGate:
        """Returns the gate of the delivery's channel.

        A new channel has a new one: RabbitMQ delivers what was in hand on the old one again, so that waits no longer.
        Raises ChannelInvalidStateError when the channel was lost already.
        """
        if delivery.channel is not self._channel:
            self._channel = delivery.channel
            self._gate.halt()
            self._gate = ProbingGate(self._park_after_s)
            if self._finishing:
                self._gate.halt()
        return self._gate

    async def _carry_on(self, delivery: AbstractIncomingMessage, message: Message, arrived_ns: int) -> None:
        """Handles a message and publishes the fact that follows, or to a buyer that his order was refused.

        Raises Unavailable for a passing error of the store, of RabbitMQ or of the queue that the fact is for, and
        Halted when the delivery's channel was lost.
        """
        if _is_lost(delivery):
            raise Halted
        reply_to = delivery.reply_to
        try:
            fact = await self._processor.handle(message, arrived_ns)
        except ContentConflict as error:
            if (refusal := build_refusal(message, str(error))) is not None:
                await self._publish(refusal, reply_to)
            raise
        await self._publish(fact, reply_to)

    async def _give_back(self, delivery: AbstractIncomingMessage, error: Exception) -> None:
        """Settles a delivery that was not carried on: it stays with the broker, or becomes a dead letter."""
        if isinstance(error, Halted) or _is_lost(delivery):
            return  # unacknowledged: the broker gives it to the next who consumes
        reason = next(reason for known, reason in _REASON_BY_ERROR if isinstance(error, known))
        self._serving.count_dead_letter(reason)
        _log.warning("%s, to the dead-letter queue: %s", reason, error)
        if await self._dead_letters.add(delivery, reason):
            await delivery.ack()
        else:
            await delivery.reject(requeue=False)  # the broker moves it there by itself, without our reason

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
        if key is None:
            return
        try:
            await self._publisher.publish(key, fact, None if is_outcome(fact) else reply_to)
        except (Unreachable, NoOutcome) as error:
            raise Unavailable(str(error)) from error
        except NotAccepted as error:
            # An outcome's queue is whatever the message names; the queue of a service that is away may come back.
            if is_outcome(fact) or isinstance(error, TooLarge):
                raise
            raise Unavailable(str(error)) from error

    async def finished(self) -> None:
        """Gives back the messages that wait, and returns when no delivery is in progress."""
        self._finishing = True
        self._gate.halt()
        await self._idle.wait()


def _is_lost(delivery: AbstractIncomingMessage) -> bool:
    """Returns whether the channel of a delivery is gone: it cannot be acknowledged, and RabbitMQ delivers it again."""
    try:
        return bool(delivery.channel.is_closed)
    except ChannelInvalidStateError:
        return True


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
