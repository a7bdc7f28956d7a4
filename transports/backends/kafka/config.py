"""Options of the Kafka backend and of its aiokafka clients."""

from typing import Annotated, Any, Literal

import msgspec

from transports.base import Setting
from transports.security import build_kafka_options


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client: Literal["aiokafka", "confluent"] = "aiokafka"
    """The library: pure asyncio, or confluent-kafka over librdkafka, which has threads of its own."""

    partitions: int = 1
    """The partitions of a fact's topic: as many as there are processes per service."""

    replication_factor: int = 1

    linger_ms: int = 0
    """How long a record waits for others. 0: it leaves at once, and others gather while a request is on its way."""

    max_batch_bytes: int = 128 * 1024
    """aiokafka has one produce request on its way per broker; what gathers meanwhile should fit into the next."""

    commit_interval_ms: Annotated[int, msgspec.Meta(ge=0)] = 100
    """The least time from one commit of offsets to the next; the last one is made as a service stops. 0: each batch is
    committed, at a low rate nearly each record. The libraries' own default is 5,000; what a service has handled since
    its last commit is handled again if it dies."""

    session_timeout_ms: int = 6_000
    """How long the group waits for a member that died before its partitions go to another."""

    heartbeat_interval_ms: int = 2_000

    idle_s: float = 540.0
    """How long a client keeps an idle connection: the library's own nine minutes. One that fetches is never idle."""

    fetch_max_wait_ms: int = 100
    """How long an empty fetch stays at the broker. aiokafka may leave a partition out of one fetch when its records
    were held for long, and then the next waits this long."""


def max_batch_bytes(setting: Setting) -> int:
    """Returns the largest batch Kafka must take: a message of the maximum size plus Kafka's overhead, in bytes."""
    return setting.max_message_bytes + setting.HEADROOM_BYTES


def describe_commits(config: Config) -> str:
    """Returns how often offsets are committed, in words."""
    every_ms = config.commit_interval_ms
    return f"offsets committed every {every_ms:,} ms" if every_ms else "offsets committed with each batch"


COMPRESSIONS = frozenset({"gzip", "lz4", "zstd", "snappy"})
"""The compressions of record batches: records that travel together are compressed together."""


def build_producer_options(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    return {
        **build_kafka_options(setting, role),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": config.linger_ms,
        # A batch over the topic's limit would be refused with all that is in it.
        "max_batch_size": min(config.max_batch_bytes, max_batch_bytes(setting)),
        "max_request_size": max_batch_bytes(setting),
        "request_timeout_ms": round(setting.deadline_s * 1000),
        "compression_type": None if setting.compression == "none" else setting.compression,
        "connections_max_idle_ms": round(config.idle_s * 1000),
    }


def build_consumer_options(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    return {
        **build_kafka_options(setting, role),
        "enable_auto_commit": False,
        "session_timeout_ms": config.session_timeout_ms,
        "heartbeat_interval_ms": config.heartbeat_interval_ms,
        "fetch_max_wait_ms": config.fetch_max_wait_ms,
        "max_partition_fetch_bytes": 2 * setting.max_message_bytes,
        "connections_max_idle_ms": round(config.idle_s * 1000),
    }
