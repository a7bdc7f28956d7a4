"""The topics and groups of a trial.

of a choreography   TRIAL.place-order TRIAL.order-placed … TRIAL.order-shipped   a topic per message
                    TRIAL.order-closed                     the outcome, a partition per load process
of a pipeline       TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping        an inbox per service
                    TRIAL.reply                            the outcome, a partition per load process
of both             TRIAL.unreadable                       the dead-letter topic
                    TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping        a consumer group per service
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DeleteGroupsRequest

from shop.messages import KIND, PlaceOrder
from shop.workflow import SERVICES, told_by
from transports.backends.kafka.acl import Right, grant, revoke
from transports.backends.kafka.config import Config, max_batch_bytes
from transports.backends.routes import Routes
from transports.base import Setting
from transports.errors import NotAccepted, Unreachable
from transports.security import AUTH, BUYER, HARNESS, kafka

ASK_AGAIN_S = 0.02
"""Of a broker that is not ready yet, or not again."""


def passes(error: KafkaError) -> bool:
    """Whether to ask again; a coordinator that is only just starting is told as no more than a KafkaError."""
    return bool(error.retriable) or type(error) is KafkaError


class Places:
    """Of a trial: its topics and groups."""

    def __init__(self, routes: Routes, setting: Setting) -> None:
        trial = setting.trial
        self.topic_of = {message: f"{trial}.{place}" for message, place in routes.place_of.items()}
        self.kind_at = {topic: KIND[message] for message, topic in self.topic_of.items()} if routes.published else {}
        """By topic, where a topic has one kind of message; else it stands in each record's header."""
        self.outcomes = f"{trial}.{routes.outcome}"
        self.dead_letters = f"{trial}.unreadable"
        self.heard_by = {name: tuple(f"{trial}.{place}" for place in routes.heard_by(name)) for name in SERVICES}
        self.group_of = {name: f"{trial}.{name}" for name in SERVICES}

    @property
    def topics(self) -> tuple[str, ...]:
        """All of them."""
        return (*dict.fromkeys(self.topic_of.values()), self.dead_letters)


async def create(setting: Setting, config: Config, places: Places) -> None:
    """Returns when the broker knows them. Raises Unreachable, and NotAccepted when the cluster refuses a topic."""
    topic_config = {
        "max.message.bytes": str(max_batch_bytes(setting)),
        # Batches compressed otherwise are made so by the broker, which then looks at their size: of those, what would
        # inflate a thousandfold costs the broker's heap and reaches no service.
        "compression.type": "uncompressed" if setting.compression == "none" else setting.compression,
    }
    if setting.durability == "safe":
        topic_config |= {"flush.messages": "1", "flush.ms": "0"}

    partitions = dict.fromkeys(places.topics, max(config.partitions, setting.processes))
    partitions |= {places.outcomes: setting.workers, places.dead_letters: 1}
    topics = [
        NewTopic(name, count, config.replication_factor, topic_configs=topic_config)
        for name, count in partitions.items()
    ]
    if setting.security == AUTH:
        # Before the topics: a broker hears of what its controller decides in the order in which it does.
        async with _client(setting) as client:
            await grant(client, rights(setting, places))
    async with _admin(setting) as admin:
        response = await admin.create_topics(topics)
        _check(response.topic_errors, TopicAlreadyExistsError)
        await _known(setting, admin, set(places.topics))


async def _known(setting: Setting, admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """The controller answers as soon as it has made a topic, and a broker hears of it a moment later."""
    try:
        async with asyncio.timeout(setting.deadline_s):
            while not names <= set(await admin.list_topics()):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(ASK_AGAIN_S)
    except TimeoutError as error:
        raise Unreachable(
            f"Kafka did not show the trial's topics within {setting.deadline_s:g} s; see its log"
        ) from error


async def delete(setting: Setting, places: Places) -> None:
    """Topics and groups. Those that are not there are no error."""
    async with _admin(setting) as admin:
        response = await admin.delete_topics(list(places.topics))
    _check(response.topic_error_codes, UnknownTopicOrPartitionError)
    async with _client(setting) as client:
        await _delete_groups(client, list(places.group_of.values()))
        if setting.security == AUTH:
            await revoke(client, rights(setting, places))


async def _delete_groups(client: AIOKafkaClient, groups: list[str]) -> None:
    """A group that still has members is left: without topics the broker forgets it by itself."""
    with suppress(GroupCoordinatorNotAvailableError):  # a broker on which no group ever was
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, groups[0])
        await client.send(coordinator, DeleteGroupsRequest(groups))


def rights(setting: Setting, places: Places) -> list[Right]:
    """What each role has to do here, and nothing else; whoever prepares and removes may do everything."""

    def of(role: str, reads: Iterable[str], writes: Iterable[str]) -> Iterator[Right]:
        yield from (Right(role, "read", "topic", topic) for topic in reads)
        yield from (Right(role, "write", "topic", topic) for topic in dict.fromkeys(writes))

    found = list(of(BUYER, [places.outcomes], [places.topic_of[PlaceOrder]]))
    for service in SERVICES:
        writes = [places.topic_of[message] for message in told_by(service)]
        found += of(service, places.heard_by[service], [*writes, places.dead_letters])
        found.append(Right(service, "read", "group", places.group_of[service]))
    # librdkafka asks for the coordinator of a group that it does not join.
    found += [Right(BUYER, "read", "group", f"{places.outcomes}.{worker}") for worker in range(setting.workers)]
    return found


@asynccontextmanager
async def _client(setting: Setting) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**kafka(setting, HARNESS))
    try:
        await client.bootstrap()
        yield client
    except KafkaError as error:
        raise unreachable(setting, error) from error
    finally:
        await client.close()


_FAREWELL_S = 0.05


@asynccontextmanager
async def started(kafka: AIOKafkaProducer | AIOKafkaConsumer) -> AsyncIterator[None]:
    """A producer or consumer from start to stop, also when the start fails. Make it where it is started: aiokafka
    complains of one that was made and never stopped."""
    try:
        await kafka.start()
        yield
    finally:
        hanging_up = asyncio.create_task(_hang_up(kafka))
        try:
            await kafka.stop()
        finally:
            hanging_up.cancel()


async def _hang_up(kafka: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """End connections that aiokafka has closed, which it does when nothing is on its way any more.

    It waits until they are gone, and under TLS uvloop takes 30 s to see that they are. aiokafka has no other way to
    them than these names.
    """
    client = kafka.client if isinstance(kafka, AIOKafkaProducer) else kafka._client
    there = [(conn, conn._writer.transport) for conn in client._conns.values() if conn._writer]
    while True:
        await asyncio.sleep(_FAREWELL_S)
        for conn, transport in there:
            if conn._writer is None:
                transport.abort()


@asynccontextmanager
async def _admin(setting: Setting) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka(setting, HARNESS))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise unreachable(setting, error) from error
    finally:
        await admin.close()


def unreachable(setting: Setting, error: KafkaError) -> Unreachable:
    return Unreachable(f"Kafka does not answer at {setting.servers['kafka']}: {error or type(error).__name__}")


def _check(errors: list[tuple[object, ...]], harmless: type[KafkaError]) -> None:
    for name, code, *_ in errors:
        error = for_code(code)
        if code != 0 and error is not harmless:
            raise NotAccepted(f"Kafka refused topic {name}: {error.__name__}")
