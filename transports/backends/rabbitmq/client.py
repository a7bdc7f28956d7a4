"""The buyer: orders where the user service listens, hears the outcome on a queue of its own."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shop.messages import PlaceOrder
from shop.workflow import FRONT
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.topology import Places, channel, exchange_on, queue_on
from transports.base import Client, Receipt, Setting
from transports.pending import Outcomes
from transports.security import AUTH, BUYER
from transports.wire import codec_named

_log = logging.getLogger(__name__)


class RabbitMQClient(Client):
    def __init__(self, publisher: Publisher, places: Places, setting: Setting) -> None:
        self._publisher = publisher
        self._outcomes = Outcomes(codec_named(setting.codec))
        self._senders_are_told = setting.security == AUTH
        self._key = places.key_of[PlaceOrder]
        self._reply_to = places.replies[setting.worker]

    async def submit(self, order: PlaceOrder) -> Receipt:
        order_id = order.order.order_id
        finished = self._outcomes.expect(order_id)
        try:
            await self._publisher.publish(self._key, order, self._reply_to)
        except BaseException:
            self._outcomes.give_up(order_id)
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def hear(self, delivery: AbstractIncomingMessage) -> None:
        """An outcome arrived; at auth one that another than its service has sent is none."""
        if self._senders_are_told and delivery.user_id != FRONT:
            _log.warning("%s may not send outcomes; left out", delivery.user_id or "nobody")
            return
        if not self._outcomes.hear(delivery.correlation_id or "", delivery.body, time.monotonic_ns()):
            self.duplicated += 1


@asynccontextmanager
async def buying(setting: Setting, places: Places) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    async with channel(setting, "buyer") as publish_on, channel(setting, "buyer.reply") as hear_on:
        publisher = Publisher(
            publish_on, await exchange_on(publish_on, places), setting, setting.max_order_bytes, BUYER
        )
        client = RabbitMQClient(publisher, places, setting)
        replies = await queue_on(hear_on, places.reply_queues[setting.worker])
        # No acknowledgement: the load process is the buyer, and what it has heard it need not hear again.
        await replies.consume(client.hear, no_ack=True)
        yield client
