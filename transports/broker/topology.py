"""The queues of a trial, and connections to them.

    TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping     a work queue per service
    TRIAL.reply.0 …                                           where a load process hears outcomes
    TRIAL.unreadable                                          the dead-letter queue

Everything goes through the default exchange, straight to a queue by its name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue, AbstractRobustChannel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from shop.workflow import SERVICES
from transports.base import Setting
from transports.errors import Unreachable
from transports.security import amqp

LIBRARY_ERRORS = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError)
"""What aio-pika raises when the broker is gone or refuses; TimeoutError is an OSError."""

RECONNECT_S = 0.5
"""Between two tries to get back to a broker that is gone: aio-pika's own 5 s would be most of a short outage."""


def work_queue(setting: Setting, service: str) -> str:
    return f"{setting.trial}.{service}"


def reply_queue(setting: Setting, worker: int) -> str:
    return f"{setting.trial}.reply.{worker}"


def dead_letter_queue(setting: Setting) -> str:
    return f"{setting.trial}.unreadable"


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


def shown(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def declare(setting: Setting) -> None:
    """Create the queues. ``fast``: classic queues. ``safe``: quorum queues, fsynced before they confirm.

    A queue outlives its broker's restart either way; whether what is in it does is said by each message.
    """
    async with channel(setting, "harness.prepare") as ch:
        kind: dict[str, str] = {"x-queue-type": "quorum"} if setting.durability == "safe" else {}
        dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_letter_queue(setting)}
        for name in (dead_letter_queue(setting), *(reply_queue(setting, n) for n in range(setting.workers))):
            await ch.declare_queue(name, durable=True, arguments={**kind})
        for service in SERVICES:
            await ch.declare_queue(work_queue(setting, service), durable=True, arguments={**kind, **dead_letters})


async def delete(setting: Setting) -> None:
    """Delete them, with whatever is in them. A queue that is not there is no error."""
    async with channel(setting, "harness.remove") as ch:
        names = [work_queue(setting, service) for service in SERVICES]
        names += [reply_queue(setting, n) for n in range(setting.workers)]
        for name in (*names, dead_letter_queue(setting)):
            await ch.queue_delete(name)
