"""Creates and deletes the topics, groups and ACL rules of a trial on Kafka.

choreography   TRIAL.place-order TRIAL.order-placed … TRIAL.order-shipped   a topic per message type
               TRIAL.order-closed                     the outcome, a partition per load process
pipeline       TRIAL.user TRIAL.product TRIAL.payment TRIAL.shipping        an inbox topic per service
               TRIAL.reply                            the outcome, a partition per load process
both           TRIAL.unreadable                       the dead-letter topic
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

from shop.messages import KIND_BY_TYPE, PlaceOrder
from shop.workflow import SERVICES, list_answer_types
from transports.backends.kafka.acl import AclRule, create_rules, delete_rules
from transports.backends.kafka.config import Config, max_batch_bytes
from transports.backends.routes import Routes
from transports.base import Setting
from transports.errors import NotAccepted, Unreachable
from transports.security import AUTH, BUYER, HARNESS, build_kafka_options

RETRY_PAUSE_S = 0.02
"""The pause between two tries while a broker is not ready yet, or not ready again."""


def is_transient(error: KafkaError) -> bool:
    """Returns whether the error is transient; a coordinator that is still starting raises a plain KafkaError."""
    return bool(error.retriable) or type(error) is KafkaError


class TrialTopics:
    """Names of the topics and groups of a trial."""

    def __init__(self, routes: Routes, setting: Setting) -> None:
        trial = setting.trial
        self.topic_by_type = {message: f"{trial}.{place}" for message, place in routes.place_of.items()}
        self.kind_by_topic = (
            {topic: KIND_BY_TYPE[message] for message, topic in self.topic_by_type.items()}
            if routes.is_choreography
            else {}
        )
        """The kind of message by topic, where a topic has one kind; else each record's header has it."""
        self.outcome_topic = f"{trial}.{routes.outcome}"
        self.dead_letters = f"{trial}.unreadable"
        self.subscriptions = {
            name: tuple(f"{trial}.{place}" for place in routes.subscriptions(name)) for name in SERVICES
        }
        self.group_by_service = {name: f"{trial}.{name}" for name in SERVICES}

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics of the trial."""
        return (*dict.fromkeys(self.topic_by_type.values()), self.dead_letters)


async def create_topology(setting: Setting, config: Config, places: TrialTopics) -> None:
    """Creates the topics, and ACL rules at level auth, and waits until the broker knows them.

    Raises Unreachable, and NotAccepted when the cluster refuses a topic.
    """
    topic_config = {
        "max.message.bytes": str(max_batch_bytes(setting)),
        # Batches compressed otherwise are made so by the broker, which then looks at their size: of those, what would
        # inflate a thousandfold costs the broker's heap and reaches no service.
        "compression.type": "uncompressed" if setting.compression == "none" else setting.compression,
    }
    if setting.durability == "safe":
        topic_config |= {"flush.messages": "1", "flush.ms": "0"}

    partitions = dict.fromkeys(places.topics, max(config.partitions, setting.processes))
    partitions |= {places.outcome_topic: setting.workers, places.dead_letters: 1}
    topics = [
        NewTopic(name, count, config.replication_factor, topic_configs=topic_config)
        for name, count in partitions.items()
    ]
    if setting.security == AUTH:
        # Before the topics: a broker gets its controller's decisions in the order in which they are made.
        async with _open_client(setting) as client:
            await create_rules(client, list_acl_rules(setting, places))
    async with _open_admin_client(setting) as admin:
        response = await admin.create_topics(topics)
        _raise_for_errors(response.topic_errors, TopicAlreadyExistsError)
        await _wait_until_known(setting, admin, set(places.topics))


async def _wait_until_known(setting: Setting, admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Waits until the broker lists the topics.

    The controller answers as soon as it has created them, a moment before the broker knows. Raises Unreachable after
    the deadline.
    """
    try:
        async with asyncio.timeout(setting.deadline_s):
            while not names <= set(await admin.list_topics()):  # noqa: ASYNC110 - Kafka sends no notice
                await asyncio.sleep(RETRY_PAUSE_S)
    except TimeoutError as error:
        raise Unreachable(
            f"Kafka did not show the trial's topics within {setting.deadline_s:g} s; see its log"
        ) from error


async def delete_topology(setting: Setting, places: TrialTopics) -> None:
    """Deletes the topics, groups and ACL rules of the trial. Missing ones are no error. Raises Unreachable."""
    async with _open_admin_client(setting) as admin:
        response = await admin.delete_topics(list(places.topics))
    _raise_for_errors(response.topic_error_codes, UnknownTopicOrPartitionError)
    async with _open_client(setting) as client:
        await _delete_groups(client, list(places.group_by_service.values()))
        if setting.security == AUTH:
            await delete_rules(client, list_acl_rules(setting, places))


async def _delete_groups(client: AIOKafkaClient, groups: list[str]) -> None:
    """Deletes the groups. One that still has members stays: without topics the broker forgets it by itself."""
    with suppress(GroupCoordinatorNotAvailableError):  # a broker on which no group ever was
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, groups[0])
        await client.send(coordinator, DeleteGroupsRequest(groups))


def list_acl_rules(setting: Setting, places: TrialTopics) -> list[AclRule]:
    """Returns the ACL rules of each role: what it needs and nothing else. The harness role may do everything."""

    def of(role: str, reads: Iterable[str], writes: Iterable[str]) -> Iterator[AclRule]:
        yield from (AclRule(role, "read", "topic", topic) for topic in reads)
        yield from (AclRule(role, "write", "topic", topic) for topic in dict.fromkeys(writes))

    found = list(of(BUYER, [places.outcome_topic], [places.topic_by_type[PlaceOrder]]))
    for service in SERVICES:
        writes = [places.topic_by_type[message] for message in list_answer_types(service)]
        found += of(service, places.subscriptions[service], [*writes, places.dead_letters])
        found.append(AclRule(service, "read", "group", places.group_by_service[service]))
    # librdkafka asks for the coordinator of a group that it does not join.
    found += [AclRule(BUYER, "read", "group", f"{places.outcome_topic}.{worker}") for worker in range(setting.workers)]
    return found


@asynccontextmanager
async def _open_client(setting: Setting) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**build_kafka_options(setting, HARNESS))
    try:
        await client.bootstrap()
        yield client
    except KafkaError as error:
        raise build_unreachable(setting, error) from error
    finally:
        await client.close()


_ABORT_INTERVAL_S = 0.05


@asynccontextmanager
async def run_client(kafka: AIOKafkaProducer | AIOKafkaConsumer) -> AsyncIterator[None]:
    """Starts a producer or consumer and stops it at exit, also when the start fails.

    Create it where it is started: aiokafka warns of one that was created and never stopped.
    """
    try:
        await kafka.start()
        yield
    finally:
        hanging_up = asyncio.create_task(_abort_closed_connections(kafka))
        try:
            await kafka.stop()
        finally:
            hanging_up.cancel()


async def _abort_closed_connections(kafka: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Aborts connections that aiokafka has closed, which it does once nothing is in flight.

    aiokafka waits until they are gone, and under TLS uvloop takes 30 s to notice. These private names are the only way
    to reach them.
    """
    client = kafka.client if isinstance(kafka, AIOKafkaProducer) else kafka._client
    there = [(conn, conn._writer.transport) for conn in client._conns.values() if conn._writer]
    while True:
        await asyncio.sleep(_ABORT_INTERVAL_S)
        for conn, transport in there:
            if conn._writer is None:
                transport.abort()


@asynccontextmanager
async def _open_admin_client(setting: Setting) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**build_kafka_options(setting, HARNESS))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise build_unreachable(setting, error) from error
    finally:
        await admin.close()


def build_unreachable(setting: Setting, error: KafkaError) -> Unreachable:
    """Returns the Unreachable error for an error of aiokafka."""
    return Unreachable(f"Kafka does not answer at {setting.servers['kafka']}: {error or type(error).__name__}")


def _raise_for_errors(errors: list[tuple[object, ...]], harmless: type[KafkaError]) -> None:
    for name, code, *_ in errors:
        error = for_code(code)
        if code != 0 and error is not harmless:
            raise NotAccepted(f"Kafka refused topic {name}: {error.__name__}")
