"""Declares and deletes the queues of a trial on RabbitMQ, and connects to them.

    TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping     a queue per service
    TRIAL.reply.0 … or TRIAL.order-closed.0 …                 a queue of outcomes per load process
    TRIAL.unreadable                                          the dead-letter queue

In a pipeline every message goes through the default exchange, straight to a queue by the queue's name. In a
choreography it goes to the topic exchange TRIAL.facts with its kind as routing key: place-order, order-placed …
order-closed.0 for the load process that ordered. Each queue is bound to the keys that its subscriber consumes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue, AbstractRobustChannel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

import transports.backends.rabbitmq.lenient_properties  # noqa: F401 - takes effect when it is imported
from shop.messages import Message, OrderClosed
from shop.workflow import SERVICES
from transports.backends.routes import Routes
from transports.base import Setting
from transports.errors import Unreachable
from transports.security import build_amqp_options

LIBRARY_ERRORS = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError)
"""What aio-pika raises when the broker is gone or refuses; TimeoutError is an OSError."""

RECONNECT_S = 0.5
"""The pause between two tries to reconnect to a broker: aio-pika's own 5 s would be most of a short outage."""


QUORUM: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
"""RabbitMQ 4 takes a message from a quorum queue after 20 deliveries, where 3.10 has no limit. An outage may need more,
and -1 for no limit is refused by 3.10."""


class TrialQueues:
    """Names of the queues of a trial, and the routing key of each message type."""

    def __init__(self, routes: Routes, setting: Setting) -> None:
        trial = setting.trial
        self.exchange = f"{trial}.facts" if routes.is_choreography else ""
        """The default exchange has no name, and its keys are names of queues."""
        before = "" if routes.is_choreography else f"{trial}."
        self.routing_key_by_type = {message: f"{before}{place}" for message, place in routes.place_of.items()}
        self.dead_letters = f"{trial}.unreadable"
        self.reply_keys = tuple(f"{before}{routes.outcome}.{worker}" for worker in range(setting.workers))
        """The key of the outcomes, by load process."""
        self.queue_by_service = {service: f"{trial}.{service}" for service in SERVICES}
        self.reply_queues = tuple(f"{trial}.{routes.outcome}.{worker}" for worker in range(setting.workers))
        self.binding_keys = {
            queue: routes.subscriptions(service) for service, queue in self.queue_by_service.items()
        } | {queue: (key,) for queue, key in zip(self.reply_queues, self.reply_keys, strict=True)}
        """The keys that a queue is bound to in a choreography, by queue."""
        self._is_choreography = routes.is_choreography

    def choose_routing_key(self, fact: Message, reply_to: str | None) -> str | None:
        """Returns the routing key for ``fact``, or None for an outcome without a waiting buyer in a pipeline.

        A choreography publishes such an outcome all the same, to the first load process.
        """
        if type(fact) is not OrderClosed:
            return self.routing_key_by_type[type(fact)]
        if self._is_choreography and reply_to not in self.reply_keys:
            return self.reply_keys[0]
        return reply_to


@asynccontextmanager
async def open_channel(setting: Setting, purpose: str) -> AsyncIterator[AbstractRobustChannel]:
    """Opens a channel with publisher confirms on a connection of its own.

    ``purpose`` begins with the role that connects: a service, the buyer or the harness. Publishing and consuming each
    need one: the broker slows a publisher down by not reading from its socket. Raises Unreachable.
    """
    role = purpose.partition(".")[0]
    try:
        connection = await aio_pika.connect_robust(
            **build_amqp_options(setting, role),
            timeout=setting.deadline_s,
            client_properties={"connection_name": f"{setting.trial}.{purpose}"},
            reconnect_interval=RECONNECT_S,
        )
    except LIBRARY_ERRORS as error:
        raise Unreachable(
            f"RabbitMQ does not answer at {hide_password(setting.servers['rabbitmq'])}: {error or type(error).__name__}"
        ) from error
    async with connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def find_queue(channel: AbstractChannel, name: str) -> AbstractQueue:
    """Returns an existing queue, whose consumers are restored when the connection is.

    It is fetched by name: aio-pika does not restore consumers of a queue object made without asking. Raises
    Unreachable.
    """
    try:
        return await channel.get_queue(name)
    except LIBRARY_ERRORS as error:
        raise Unreachable(f"RabbitMQ has no queue {name}: {error or type(error).__name__}") from error


async def find_exchange(channel: AbstractRobustChannel, places: TrialQueues) -> AbstractExchange:
    """Returns the exchange to which messages are published. Raises Unreachable.

    It is not restored: aio-pika gives a channel up on which it finds an exchange gone.
    """
    if not places.exchange:
        return channel.default_exchange
    try:
        return await channel.declare_exchange(places.exchange, passive=True, robust=False)
    except LIBRARY_ERRORS as error:
        raise Unreachable(f"RabbitMQ has no exchange {places.exchange}: {error or type(error).__name__}") from error


def hide_password(url: str) -> str:
    """Returns the URL without user and password."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def declare_topology(setting: Setting, places: TrialQueues) -> None:
    """Creates the queues. ``fast``: classic queues. ``safe``: quorum queues, fsynced before they confirm.

    A queue survives a restart of its broker either way; each message says whether it does.
    """
    async with open_channel(setting, "harness.prepare") as ch:
        kind: dict[str, str | int] = QUORUM if setting.durability == "safe" else {}
        dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": places.dead_letters}
        await ch.declare_queue(places.dead_letters, durable=True, arguments={**kind})
        queues = [await ch.declare_queue(name, durable=True, arguments={**kind}) for name in places.reply_queues]
        for name in places.queue_by_service.values():
            queues.append(await ch.declare_queue(name, durable=True, arguments={**kind, **dead_letters}))
        if places.exchange:
            await ch.declare_exchange(places.exchange, ExchangeType.TOPIC, durable=True)
            for queue in queues:
                for key in places.binding_keys[queue.name]:
                    await queue.bind(places.exchange, key)


async def delete_topology(setting: Setting, places: TrialQueues) -> None:
    """Deletes the queues and their messages. A missing queue is no error."""
    async with open_channel(setting, "harness.remove") as ch:
        for name in (*places.queue_by_service.values(), *places.reply_queues, places.dead_letters):
            await ch.queue_delete(name)
        if places.exchange:
            await ch.exchange_delete(places.exchange)
