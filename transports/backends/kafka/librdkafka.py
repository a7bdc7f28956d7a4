"""Builds librdkafka clients: options, error translation and thread scheduling."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import confluent_kafka
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, for_code
from confluent_kafka import KafkaError as TheirError

from transports.backends.kafka.config import Config, max_batch_bytes
from transports.base import Setting
from transports.security import AUTH, MTLS, NONE, find_keys

LIBRARY: str = confluent_kafka.libversion()[0]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_TIMEOUT_CODES = frozenset({TheirError._MSG_TIMED_OUT, TheirError._TIMED_OUT, TheirError._TIMED_OUT_QUEUE})
_UNREACHABLE_CODES = frozenset(
    {TheirError._TRANSPORT, TheirError._ALL_BROKERS_DOWN, TheirError._RESOLVE, TheirError._DESTROY}
)


def use_normal_scheduling() -> None:
    """Sets this thread, and those it starts, to the normal scheduling policy.

    The load process runs with real-time priority if it may, and new threads inherit that. librdkafka's threads would
    then alternate with the event loop for every record, which made an order cost the load process three to five times
    as much.
    """
    with suppress(PermissionError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def build_client(make: Callable[[dict[str, Any]], T], options: dict[str, Any]) -> T:
    """Returns the client that ``make(options)`` builds, with its threads at normal priority."""
    with ThreadPoolExecutor(1, initializer=use_normal_scheduling) as pool:
        return pool.submit(make, options).result()


def translate_error(error: TheirError) -> KafkaError:
    """Returns the aiokafka error for an error of librdkafka.

    Positive codes are the Kafka protocol's, the same for both; negative ones are librdkafka's own.
    """
    code = error.code()
    if code in _TIMEOUT_CODES:
        return KafkaTimeoutError(error.str())
    if code in _UNREACHABLE_CODES:
        return KafkaConnectionError(error.str())
    return for_code(code)(error.str())


def _build_access_options(setting: Setting, role: str) -> dict[str, str]:
    """Returns address and credentials, as ``build_kafka_options`` does for aiokafka. Raises SettingError."""
    where = {"bootstrap.servers": setting.servers["kafka"]}
    if setting.security == NONE:
        return where
    keys = find_keys(setting.keys, role)
    where |= {"security.protocol": "ssl", "ssl.ca.location": str(keys.authority)}
    if setting.security == MTLS:
        where |= {"ssl.certificate.location": str(keys.certificate), "ssl.key.location": str(keys.key)}
    if setting.security == AUTH:
        where |= {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": role,
            "sasl.password": keys.password,
        }
    return where


def _build_common_options(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    return _build_access_options(setting, role) | {
        "connections.max.idle.ms": round(config.idle_s * 1000),
        "socket.nagle.disable": True,
        # A broker that is back is found within a second, as by the other clients, and not within ten.
        "reconnect.backoff.max.ms": 1000,
        "logger": _log,
    }


def build_producer_options(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    """Returns librdkafka's options for what ``config.build_producer_options`` sets for aiokafka."""
    return _build_common_options(config, setting, role) | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": config.linger_ms,
        "batch.size": min(config.max_batch_bytes, max_batch_bytes(setting)),
        "message.max.bytes": max_batch_bytes(setting),
        "message.timeout.ms": round(setting.deadline_s * 1000),
        "compression.type": setting.compression,
        "partitioner": "murmur2_random",  # aiokafka's and Java's, so that a key goes where theirs goes
    }


def build_consumer_options(config: Config, setting: Setting, role: str, group: str) -> dict[str, Any]:
    """Returns librdkafka's options for what ``config.build_consumer_options`` sets for aiokafka."""
    return _build_common_options(config, setting, role) | {
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "session.timeout.ms": config.session_timeout_ms,
        "heartbeat.interval.ms": config.heartbeat_interval_ms,
        "fetch.wait.max.ms": config.fetch_max_wait_ms,
        "max.partition.fetch.bytes": 2 * setting.max_message_bytes,
    }
