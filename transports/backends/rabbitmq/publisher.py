"""Publishes messages to RabbitMQ and waits for the publisher confirm."""

import asyncio

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractExchange, AbstractRobustChannel
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelInvalidStateError

from shop.messages import KIND_BY_TYPE, Message
from transports.backends.rabbitmq.topology import LIBRARY_ERRORS
from transports.base import Setting
from transports.errors import NoOutcome, NotAccepted, TooLarge, Unreachable
from transports.security import AUTH
from transports.wire import load_codec

_RETRY_PAUSE_S = 0.01


async def publish_once(
    channel: AbstractRobustChannel, exchange: AbstractExchange, message: AmqpMessage, key: str
) -> bool:
    """Publishes once the channel is ready, and returns True when the broker has confirmed.

    Returns False, after a pause, when the channel was lost a moment ago, unnoticed by the exchange: nothing was sent.
    """
    await channel.ready()
    try:
        await exchange.publish(message, key)
    except ChannelInvalidStateError:
        await asyncio.sleep(_RETRY_PAUSE_S)
        return False
    return True


class Publisher:
    def __init__(
        self,
        channel: AbstractRobustChannel,
        exchange: AbstractExchange,
        setting: Setting,
        limit_bytes: int,
        role: str,
    ) -> None:
        """``role`` is the sender, named in each message at level auth, where RabbitMQ rejects a false one."""
        self._channel = channel
        self._exchange = exchange
        self._codec = load_codec(setting.codec)
        self._limit_bytes = limit_bytes
        self._deadline_s = setting.deadline_s
        self._user = role if setting.security == AUTH else None
        self._mode = DeliveryMode.PERSISTENT if setting.durability == "safe" else DeliveryMode.NOT_PERSISTENT

    async def publish(self, key: str, message: Message, reply_to: str | None) -> None:
        """Publishes the message and returns when the broker has confirmed it.

        Raises TooLarge, NotAccepted (no such queue, or refused), NoOutcome and Unreachable. The size is checked here
        because a message that the broker rejects closes the channel, and with it every other publish in flight on it.
        """
        body = self._codec.encode(message)
        if len(body) > self._limit_bytes:
            raise TooLarge(len(body), self._limit_bytes)
        kind, order_id = KIND_BY_TYPE[type(message)], message.order.order_id
        amqp = AmqpMessage(
            body,
            type=kind,
            message_id=f"{order_id}.{kind}",
            correlation_id=order_id,
            reply_to=reply_to,
            content_type=self._codec.content_type,
            delivery_mode=self._mode,
            user_id=self._user,
        )
        sent = False
        try:
            async with asyncio.timeout(self._deadline_s):
                while True:
                    # Of a connection that was lost: until it is back, with everything on it.
                    await self._channel.ready()
                    sent = True
                    if await publish_once(self._channel, self._exchange, amqp, key):
                        return
                    sent = False
        except (DeliveryError, PublishError) as error:
            raise NotAccepted(f"RabbitMQ did not take a message for {key}: {error}") from error
        except TimeoutError as error:
            if not sent:
                raise Unreachable(f"RabbitMQ was away for {self._deadline_s:g} s") from error
            raise NoOutcome(f"RabbitMQ did not confirm within {self._deadline_s:g} s") from error
        except Exception as error:
            # Where a connection just ends, aiormq fails what waits with a bare one, and aio-pika with a RuntimeError.
            if not isinstance(error, LIBRARY_ERRORS) and type(error) not in {Exception, RuntimeError}:
                raise
            raise Unreachable(f"RabbitMQ was lost while publishing: {error or type(error).__name__}") from error
