"""Puts messages on a trial's dead-letter queue with a reason, and reads what lies there."""

import asyncio
import logging
from typing import Any

from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel

from transports.backends.rabbitmq.lenient_properties import make_encodable
from transports.backends.rabbitmq.publisher import publish_once
from transports.backends.rabbitmq.topology import TrialQueues, find_queue, open_channel
from transports.base import Setting
from transports.dead_letters import (
    MAX_BYTES,
    REASON_HEADER,
    SOURCE_HEADER,
    DeadLetter,
    DeadLetters,
    read_order_id,
)
from transports.wire import Codec, load_codec

_log = logging.getLogger(__name__)

SENDER_HEADER = "sender"
"""The header of a dead letter that has the user who sent the message, where RabbitMQ vouches for one: the user of the
dead letter is the service."""
_CONFIRM_TIMEOUT_S = 5.0


class DeadLetterQueue:
    """The dead-letter queue as a service writes to it."""

    def __init__(self, channel: AbstractRobustChannel, places: TrialQueues, service: str) -> None:
        self._channel = channel
        self._name = places.dead_letters
        self._source = places.queue_by_service[service]

    async def add(self, delivery: AbstractIncomingMessage, reason: str) -> bool:
        """Publishes a copy of the delivery with its reason; returns whether the broker has confirmed it."""
        headers: dict[str, Any] = {
            **make_encodable(delivery.headers),
            REASON_HEADER: reason,
            SOURCE_HEADER: self._source,
        }
        if delivery.user_id is not None:
            headers[SENDER_HEADER] = delivery.user_id
        copy = AmqpMessage(
            delivery.body,
            headers=headers,
            type=delivery.type,
            message_id=delivery.message_id,
            correlation_id=delivery.correlation_id,
            reply_to=delivery.reply_to,
            content_type=delivery.content_type,
            delivery_mode=delivery.delivery_mode,
        )
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                while not await publish_once(self._channel, self._channel.default_exchange, copy, self._name):
                    pass
        except Exception as error:  # noqa: BLE001 - of the library, the connection, or a header that no one can write
            _log.warning("a dead letter goes without its reason, %s: %r", reason, error)
            return False
        return True


async def read_dead_letters(setting: Setting, places: TrialQueues, limit: int) -> DeadLetters:
    """Takes the oldest dead letters off their queue, ``limit`` at the most. Raises Unreachable."""
    codec, letters, size_bytes = load_codec(setting.codec), list[DeadLetter](), 0
    async with open_channel(setting, "harness.read") as channel:
        queue = await find_queue(channel, places.dead_letters)
        total = queue.declaration_result.message_count or 0
        while len(letters) < min(limit, total) and size_bytes < MAX_BYTES:
            delivery = await queue.get(no_ack=True, fail=False)
            if delivery is None:
                break
            letters.append(_read(delivery, codec))
            size_bytes += len(delivery.body)
    return DeadLetters(letters, total)


def _read(delivery: AbstractIncomingMessage, codec: Codec) -> DeadLetter:
    """Returns a dead letter; of one that the broker moved by itself, the reason and queue are the broker's words."""
    headers, kind = delivery.headers, delivery.type or ""
    return DeadLetter(
        reason=str(headers.get(REASON_HEADER) or headers.get("x-first-death-reason") or ""),
        source=str(headers.get(SOURCE_HEADER) or headers.get("x-first-death-queue") or ""),
        kind=kind,
        order_id=read_order_id(codec, kind, delivery.body),
        body=delivery.body,
    )
