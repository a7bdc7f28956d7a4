"""The buyer on RabbitMQ: publishes orders and consumes outcomes from its own queue."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shop.messages import PlaceOrder
from shop.workflow import ENTRY_SERVICE
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.topology import TrialQueues, find_exchange, find_queue, open_channel
from transports.base import Client, Receipt, Setting
from transports.pending import PendingOutcomes
from transports.security import AUTH, BUYER
from transports.wire import load_codec

_log = logging.getLogger(__name__)


class RabbitMQClient(Client):
    def __init__(self, publisher: Publisher, places: TrialQueues, setting: Setting) -> None:
        self._publisher = publisher
        self._outcomes = PendingOutcomes(load_codec(setting.codec))
        self._verifies_senders = setting.security == AUTH
        self._key = places.routing_key_by_type[PlaceOrder]
        self._reply_to = places.reply_keys[setting.worker]

    async def submit(self, order: PlaceOrder) -> Receipt:
        order_id = order.order.order_id
        finished = self._outcomes.register(order.order)
        try:
            await self._publisher.publish(self._key, order, self._reply_to)
        except BaseException:
            self._outcomes.abandon(order_id, finished)
            raise
        return Receipt(time.monotonic_ns(), finished)

    async def receive_outcome(self, delivery: AbstractIncomingMessage) -> None:
        """Records an outcome that arrived; at auth it ignores one that another role has sent."""
        if self._verifies_senders and delivery.user_id != ENTRY_SERVICE:
            _log.warning("%s may not send outcomes; left out", delivery.user_id or "nobody")
            return
        if not self._outcomes.receive_outcome(delivery.correlation_id or "", delivery.body, time.monotonic_ns()):
            self.duplicated += 1


@asynccontextmanager
async def connect_buyer(setting: Setting, places: TrialQueues) -> AsyncIterator[Client]:
    """Opens the buyer's channels as a Client. Raises Unreachable."""
    async with open_channel(setting, "buyer") as publish_on, open_channel(setting, "buyer.reply") as hear_on:
        publisher = Publisher(
            publish_on, await find_exchange(publish_on, places), setting, setting.max_order_bytes, BUYER
        )
        client = RabbitMQClient(publisher, places, setting)
        replies = await find_queue(hear_on, places.reply_queues[setting.worker])
        # No acknowledgement: the load process is the buyer, and needs an outcome only once.
        await replies.consume(client.receive_outcome, no_ack=True)
        yield client
