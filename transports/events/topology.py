"""The topics and groups of a trial.

TRIAL.place-order TRIAL.order-placed … TRIAL.order-shipped   a topic per message
TRIAL.order-closed                                           the outcome, a partition per load process
TRIAL.unreadable                                             the dead-letter topic
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

from shop.messages import KIND, Message, OrderClosed, PlaceOrder
from shop.workflow import SERVICES, consumed_by, told_by
from transports.base import Setting
from transports.errors import NotAccepted, Unreachable
from transports.events.config import Config, max_batch_bytes
from transports.events.rights import Right, grant, revoke
from transports.security import AUTH, BUYER, HARNESS, kafka

ASK_AGAIN_S = 0.02
"""Of a broker that is not ready yet, or not again."""


def passes(error: KafkaError) -> bool:
    """Whether to ask again; a coordinator that is only just starting is told as no more than a KafkaError."""
    return bool(error.retriable) or type(error) is KafkaError


def topic_of(setting: Setting, message_type: type[Message]) -> str:
    return f"{setting.trial}.{KIND[message_type]}"


def topics_consumed_by(setting: Setting, service: str) -> dict[str, str]:
    """The kind of message by topic."""
    return {topic_of(setting, message): KIND[message] for message in consumed_by(service)}


def dead_letter_topic(setting: Setting) -> str:
    return f"{setting.trial}.unreadable"


def group_of(setting: Setting, service: str) -> str:
    return f"{setting.trial}.{service}"


async def create(setting: Setting, config: Config) -> None:
    """Returns when the broker knows them. Raises Unreachable, and NotAccepted when the cluster refuses a topic."""
    topic_config = {
        "max.message.bytes": str(max_batch_bytes(setting)),
        # Batches compressed otherwise are made so by the broker, which then looks at their size: of those, what would
        # inflate a thousandfold costs the broker's heap and reaches no service.
        "compression.type": "uncompressed" if setting.compression == "none" else setting.compression,
    }
    if setting.durability == "safe":
        topic_config |= {"flush.messages": "1", "flush.ms": "0"}

    def topic(name: str, partitions: int) -> NewTopic:
        return NewTopic(name, partitions, config.replication_factor, topic_configs=topic_config)

    topics = [
        topic(
            topic_of(setting, message),
            setting.workers if message is OrderClosed else max(config.partitions, setting.processes),
        )
        for message in KIND
    ]
    topics.append(topic(dead_letter_topic(setting), 1))
    if setting.security == AUTH:
        # Before the topics: a broker hears of what its controller decides in the order in which it does.
        async with _client(setting) as client:
            await grant(client, rights(setting))
    async with _admin(setting) as admin:
        response = await admin.create_topics(topics)
        _check(response.topic_errors, TopicAlreadyExistsError)
        await _known(setting, admin, {topic.name for topic in topics})


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


async def delete(setting: Setting) -> None:
    """Topics and groups. Those that are not there are no error."""
    async with _admin(setting) as admin:
        response = await admin.delete_topics([*(topic_of(setting, m) for m in KIND), dead_letter_topic(setting)])
    _check(response.topic_error_codes, UnknownTopicOrPartitionError)
    async with _client(setting) as client:
        await _delete_groups(setting, client)
        if setting.security == AUTH:
            await revoke(client, rights(setting))


async def _delete_groups(setting: Setting, client: AIOKafkaClient) -> None:
    """A group that still has members is left: without topics the broker forgets it by itself."""
    groups = [group_of(setting, service) for service in SERVICES]
    with suppress(GroupCoordinatorNotAvailableError):  # a broker on which no group ever was
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, groups[0])
        await client.send(coordinator, DeleteGroupsRequest(groups))


def rights(setting: Setting) -> list[Right]:
    """What each role has to do here, and nothing else; whoever prepares and removes may do everything."""

    def of(role: str, reads: Iterable[type[Message]], writes: Iterable[type[Message]]) -> Iterator[Right]:
        yield from (Right(role, "read", "topic", topic_of(setting, message)) for message in reads)
        yield from (Right(role, "write", "topic", topic_of(setting, message)) for message in writes)

    found = list(of(BUYER, [OrderClosed], [PlaceOrder]))
    for service in SERVICES:
        found += of(service, consumed_by(service), told_by(service))
        found.append(Right(service, "read", "group", group_of(setting, service)))
        found.append(Right(service, "write", "topic", dead_letter_topic(setting)))
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


@asynccontextmanager
async def started(kafka: AIOKafkaProducer | AIOKafkaConsumer) -> AsyncIterator[None]:
    """A producer or consumer from start to stop, also when the start fails. Make it where it is started: aiokafka
    complains of one that was made and never stopped."""
    try:
        await kafka.start()
        yield
    finally:
        await kafka.stop()


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
