"""The queues of a trial, and connections to them.

    TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping     a queue per service
    TRIAL.reply.0 … or TRIAL.order-closed.0 …                 where a load process hears outcomes
    TRIAL.unreadable                                          the dead-letter queue

In a pipeline everything goes through the default exchange, straight to a queue by its name. In a choreography it goes
to the topic exchange TRIAL.facts under what it is: place-order, order-placed … order-closed.0 for the load process
that ordered; a queue is bound to whatever its subscriber consumes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue, AbstractRobustChannel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from shop.messages import Message, OrderClosed
from shop.workflow import SERVICES
from transports.backends.routes import Routes
from transports.base import Setting
from transports.errors import Unreachable
from transports.security import amqp

LIBRARY_ERRORS = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError)
"""What aio-pika raises when the broker is gone or refuses; TimeoutError is an OSError."""

RECONNECT_S = 0.5
"""Between two tries to get back to a broker that is gone: aio-pika's own 5 s would be most of a short outage."""


class Places:
    """Of a trial: its queues, and under which key a message comes to them."""

    def __init__(self, routes: Routes, setting: Setting) -> None:
        trial = setting.trial
        self.exchange = f"{trial}.facts" if routes.published else ""
        """The default exchange has no name, and its keys are names of queues."""
        before = "" if routes.published else f"{trial}."
        self.key_of = {message: f"{before}{place}" for message, place in routes.place_of.items()}
        self.dead_letters = f"{trial}.unreadable"
        self.replies = tuple(f"{before}{routes.outcome}.{worker}" for worker in range(setting.workers))
        """By load process, the key of its outcomes."""
        self.queue_of = {service: f"{trial}.{service}" for service in SERVICES}
        self.reply_queues = tuple(f"{trial}.{routes.outcome}.{worker}" for worker in range(setting.workers))
        self.keys_heard = {queue: routes.heard_by(service) for service, queue in self.queue_of.items()} | {
            queue: (key,) for queue, key in zip(self.reply_queues, self.replies, strict=True)
        }
        """By queue, what it is bound to in a choreography."""
        self._published = routes.published

    def key_for(self, fact: Message, reply_to: str | None) -> str | None:
        """Where ``fact`` goes. An outcome that nobody waits for goes nowhere in a pipeline; a choreography publishes it
        all the same, to the first load process."""
        if type(fact) is not OrderClosed:
            return self.key_of[type(fact)]
        if self._published and reply_to not in self.replies:
            return self.replies[0]
        return reply_to


@asynccontextmanager
async def channel(setting: Setting, purpose: str) -> AsyncIterator[AbstractRobustChannel]:
    """A channel with publisher confirms on a connection of its own.

    ``purpose`` begins with the role that comes: a service, the buyer, or the harness. Publishing and consuming each
    want one: the broker slows a publisher down by not reading from its socket. Raises Unreachable.
    """
    role = purpose.partition(".")[0]
    try:
        connection = await aio_pika.connect_robust(
            **amqp(setting, role),
            timeout=setting.deadline_s,
            client_properties={"connection_name": f"{setting.trial}.{purpose}"},
            reconnect_interval=RECONNECT_S,
        )
    except LIBRARY_ERRORS as error:
        raise Unreachable(
            f"RabbitMQ does not answer at {shown(setting.servers['rabbitmq'])}: {error or type(error).__name__}"
        ) from error
    async with connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def queue_on(channel: AbstractChannel, name: str) -> AbstractQueue:
    """A queue that is there already, whose consumers come back when the connection does.

    Asked for: aio-pika forgets the consumers of a queue that it has only been told of. Raises Unreachable.
    """
    try:
        return await channel.get_queue(name)
    except LIBRARY_ERRORS as error:
        raise Unreachable(f"RabbitMQ has no queue {name}: {error or type(error).__name__}") from error


async def exchange_on(channel: AbstractChannel, places: Places) -> AbstractExchange:
    """Where messages are published. Raises Unreachable."""
    if not places.exchange:
        return channel.default_exchange
    try:
        return await channel.get_exchange(places.exchange)
    except LIBRARY_ERRORS as error:
        raise Unreachable(f"RabbitMQ has no exchange {places.exchange}: {error or type(error).__name__}") from error


def shown(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def declare(setting: Setting, places: Places) -> None:
    """Create the queues. ``fast``: classic queues. ``safe``: quorum queues, fsynced before they confirm.

    A queue outlives its broker's restart either way; whether what is in it does is said by each message.
    """
    async with channel(setting, "harness.prepare") as ch:
        kind: dict[str, str] = {"x-queue-type": "quorum"} if setting.durability == "safe" else {}
        dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": places.dead_letters}
        await ch.declare_queue(places.dead_letters, durable=True, arguments={**kind})
        queues = [await ch.declare_queue(name, durable=True, arguments={**kind}) for name in places.reply_queues]
        for name in places.queue_of.values():
            queues.append(await ch.declare_queue(name, durable=True, arguments={**kind, **dead_letters}))
        if places.exchange:
            await ch.declare_exchange(places.exchange, ExchangeType.TOPIC, durable=True)
            for queue in queues:
                for key in places.keys_heard[queue.name]:
                    await queue.bind(places.exchange, key)


async def delete(setting: Setting, places: Places) -> None:
    """Delete them, with whatever is in them. A queue that is not there is no error."""
    async with channel(setting, "harness.remove") as ch:
        for name in (*places.queue_of.values(), *places.reply_queues, places.dead_letters):
            await ch.queue_delete(name)
        if places.exchange:
            await ch.exchange_delete(places.exchange)
