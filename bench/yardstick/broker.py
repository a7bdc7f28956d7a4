"""Bare RabbitMQ chain on aio-pika: consumes, publishes on, confirms, acknowledges.

Its queues and connections are the transport's own.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from bench.yardstick import PassBody
from bench.yardstick.route import ROUTE, find_hops
from shop.messages import KIND_BY_TYPE, OrderClosed
from shop.workflow import ENTRY_SERVICE
from transports.backends.rabbitmq.config import Config
from transports.backends.rabbitmq.topology import TrialQueues, open_channel
from transports.base import Setting
from transports.broker.routes import PIPELINE

_ORDER = KIND_BY_TYPE[ROUTE[0]]


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    places = TrialQueues(PIPELINE, setting)
    # By what a message is: what it becomes, and the queue for that; None is the reply queue that it names.
    hops = {
        KIND_BY_TYPE[taken]: (
            KIND_BY_TYPE[passed],
            None if passed is OrderClosed else places.routing_key_by_type[passed],
        )
        for taken, passed in find_hops(service).items()
    }
    async with open_channel(setting, f"{service}.out") as out, open_channel(setting, service) as inward:
        publish = out.default_exchange.publish

        async def take(delivery: AbstractIncomingMessage) -> None:
            kind, queue = hops[delivery.type or ""]
            await publish(
                Message(
                    delivery.body,
                    type=kind,
                    message_id=delivery.message_id,
                    correlation_id=delivery.correlation_id,
                    reply_to=delivery.reply_to,
                    delivery_mode=DeliveryMode.NOT_PERSISTENT,
                ),
                queue or delivery.reply_to or "",
            )
            await delivery.ack()

        await inward.set_qos(prefetch_count=Config().prefetch)
        queue = await inward.get_queue(places.queue_by_service[service], ensure=False)
        await queue.consume(take)
        yield


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[PassBody]:
    waiting: dict[str, asyncio.Future[tuple[bytes, int]]] = {}
    places = TrialQueues(PIPELINE, setting)
    replies, orders = places.reply_queues[setting.worker], places.queue_by_service[ENTRY_SERVICE]

    async def hear(delivery: AbstractIncomingMessage) -> None:
        waiting.pop(delivery.correlation_id or "").set_result((delivery.body, time.monotonic_ns()))

    async with open_channel(setting, "buyer") as out, open_channel(setting, "buyer.reply") as inward:
        await (await inward.get_queue(replies, ensure=False)).consume(hear, no_ack=True)
        loop, publish = asyncio.get_running_loop(), out.default_exchange.publish

        async def pass_(key: str, body: bytes) -> tuple[bytes, int]:
            back: asyncio.Future[tuple[bytes, int]] = loop.create_future()
            waiting[key] = back
            await publish(
                Message(
                    body,
                    type=_ORDER,
                    message_id=key,
                    correlation_id=key,
                    reply_to=replies,
                    delivery_mode=DeliveryMode.NOT_PERSISTENT,
                ),
                orders,
            )
            return await back

        yield pass_
