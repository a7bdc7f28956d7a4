"""The buyer: orders at the user service's queue, hears the outcome on a reply queue."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shop.messages import KIND, OrderClosed, PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Finished, Receipt, Setting
from transports.broker.publisher import Publisher
from transports.broker.topology import channel, reply_queue, work_queue
from transports.errors import Unreadable
from transports.wire import codec_named


class BrokerClient(Client):
    def __init__(self, publisher: Publisher, setting: Setting) -> None:
        self._publisher = publisher
        self._codec = codec_named(setting.codec)
        self._queue = work_queue(setting, FRONT)
        self._reply_to = reply_queue(setting, setting.worker)
        self._waiting: dict[str, asyncio.Future[Finished]] = {}

    async def submit(self, order: PlaceOrder) -> Receipt:
        order_id = order.order.order_id
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._waiting[order_id] = finished
        try:
            await self._publisher.publish(self._queue, order, self._reply_to)
        except BaseException:
            self._waiting.pop(order_id, None)
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def hear(self, delivery: AbstractIncomingMessage) -> None:
        """An outcome arrived."""
        at_ns = time.monotonic_ns()
        finished = self._waiting.pop(delivery.correlation_id or "", None)
        if finished is None or finished.done():
            self.duplicated += 1
            return
        try:
            outcome = self._codec.decode(KIND[OrderClosed], delivery.body)
            assert isinstance(outcome, OrderClosed)
        except Unreadable as error:
            finished.set_exception(error)
        else:
            finished.set_result(Finished(outcome, at_ns))


@asynccontextmanager
async def buying(setting: Setting) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    async with channel(setting, "buyer") as publish_on, channel(setting, "buyer.reply") as hear_on:
        client = BrokerClient(Publisher(publish_on, setting, setting.max_order_bytes), setting)
        replies = await hear_on.get_queue(reply_queue(setting, setting.worker), ensure=False)
        # No acknowledgement: the load process is the buyer, and what it has heard it need not hear again.
        await replies.consume(client.hear, no_ack=True)
        yield client
