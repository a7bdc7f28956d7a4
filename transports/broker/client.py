"""The buyer: orders at the user service's queue, hears the outcome on a reply queue."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shop.messages import PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Receipt, Setting
from transports.broker.publisher import Publisher
from transports.broker.topology import channel, queue_on, reply_queue, work_queue
from transports.outcomes import Outcomes
from transports.wire import codec_named


class BrokerClient(Client):
    def __init__(self, publisher: Publisher, setting: Setting) -> None:
        self._publisher = publisher
        self._outcomes = Outcomes(codec_named(setting.codec))
        self._queue = work_queue(setting, FRONT)
        self._reply_to = reply_queue(setting, setting.worker)

    async def submit(self, order: PlaceOrder) -> Receipt:
        order_id = order.order.order_id
        finished = self._outcomes.expect(order_id)
        try:
            await self._publisher.publish(self._queue, order, self._reply_to)
        except BaseException:
            self._outcomes.give_up(order_id)
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def hear(self, delivery: AbstractIncomingMessage) -> None:
        """An outcome arrived."""
        if not self._outcomes.hear(delivery.correlation_id or "", delivery.body, time.monotonic_ns()):
            self.duplicated += 1


@asynccontextmanager
async def buying(setting: Setting) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    async with channel(setting, "buyer") as publish_on, channel(setting, "buyer.reply") as hear_on:
        client = BrokerClient(Publisher(publish_on, setting, setting.max_order_bytes), setting)
        replies = await queue_on(hear_on, reply_queue(setting, setting.worker))
        # No acknowledgement: the load process is the buyer, and what it has heard it need not hear again.
        await replies.consume(client.hear, no_ack=True)
        yield client
