"""aio-pika: consume, publish on, confirm, acknowledge; the queues and connections are the transport's own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from bench.calibration.baseline.bare import Pass
from bench.calibration.baseline.bare.route import ROUTE, hops_of
from shop.messages import KIND, OrderClosed
from shop.workflow import FRONT
from transports.backends.rabbitmq.config import Config
from transports.backends.rabbitmq.topology import Places, channel
from transports.base import Setting
from transports.broker.routes import PIPELINE

_ORDER = KIND[ROUTE[0]]


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    places = Places(PIPELINE, setting)
    # By what a message is: what it becomes, and the queue for that; None is the reply queue that it names.
    hops = {
        KIND[taken]: (KIND[passed], None if passed is OrderClosed else places.key_of[passed])
        for taken, passed in hops_of(service).items()
    }
    async with channel(setting, f"{service}.out") as out, channel(setting, service) as inward:
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
        queue = await inward.get_queue(places.queue_of[service], ensure=False)
        await queue.consume(take)
        yield


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[Pass]:
    waiting: dict[str, asyncio.Future[tuple[bytes, int]]] = {}
    places = Places(PIPELINE, setting)
    replies, orders = places.reply_queues[setting.worker], places.queue_of[FRONT]

    async def hear(delivery: AbstractIncomingMessage) -> None:
        waiting.pop(delivery.correlation_id or "").set_result((delivery.body, time.monotonic_ns()))

    async with channel(setting, "buyer") as out, channel(setting, "buyer.reply") as inward:
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
