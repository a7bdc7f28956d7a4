"""librdkafka as it is set and made here: options, errors, and how its threads are scheduled."""

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
from transports.security import AUTH, MTLS, NONE, keys_of

LIBRARY: str = confluent_kafka.libversion()[0]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_OUT_OF_TIME = frozenset({TheirError._MSG_TIMED_OUT, TheirError._TIMED_OUT, TheirError._TIMED_OUT_QUEUE})
_AWAY = frozenset({TheirError._TRANSPORT, TheirError._ALL_BROKERS_DOWN, TheirError._RESOLVE, TheirError._DESTROY})


def as_usual() -> None:
    """This thread, and those that it starts, are scheduled as any others.

    The load process runs in real time where it may, and threads have that from whoever starts them. Librdkafka's and
    those that hear from it would then take turns with the event loop for every record: an order cost the load process
    three to five times as much.
    """
    with suppress(PermissionError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def made(make: Callable[[dict[str, Any]], T], options: dict[str, Any]) -> T:
    """A client whose threads are scheduled as any others."""
    with ThreadPoolExecutor(1, initializer=as_usual) as pool:
        return pool.submit(make, options).result()


def translated(error: TheirError) -> KafkaError:
    """Theirs to aiokafka's: above zero both have the protocol's numbers, below it librdkafka has its own."""
    code = error.code()
    if code in _OUT_OF_TIME:
        return KafkaTimeoutError(error.str())
    if code in _AWAY:
        return KafkaConnectionError(error.str())
    return for_code(code)(error.str())


def _access(setting: Setting, role: str) -> dict[str, str]:
    """What ``transports.security.kafka`` says to aiokafka. Raises SettingError."""
    where = {"bootstrap.servers": setting.servers["kafka"]}
    if setting.security == NONE:
        return where
    keys = keys_of(setting.keys, role)
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


def _common(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    return _access(setting, role) | {
        "connections.max.idle.ms": round(config.idle_s * 1000),
        "socket.nagle.disable": True,
        # A broker that is back is found within a second, as by the other clients, and not within ten.
        "reconnect.backoff.max.ms": 1000,
        "logger": _log,
    }


def producer_options(config: Config, setting: Setting, role: str) -> dict[str, Any]:
    """What ``config.producer_options`` says to aiokafka."""
    return _common(config, setting, role) | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": config.linger_ms,
        "batch.size": min(config.max_batch_bytes, max_batch_bytes(setting)),
        "message.max.bytes": max_batch_bytes(setting),
        "message.timeout.ms": round(setting.deadline_s * 1000),
        "compression.type": setting.compression,
        "partitioner": "murmur2_random",  # aiokafka's and Java's, so that a key goes where theirs goes
    }


def consumer_options(config: Config, setting: Setting, role: str, group: str) -> dict[str, Any]:
    """What ``config.consumer_options`` says to aiokafka."""
    return _common(config, setting, role) | {
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "session.timeout.ms": config.session_timeout_ms,
        "heartbeat.interval.ms": config.heartbeat_interval_ms,
        "fetch.wait.max.ms": config.fetch_max_wait_ms,
        "max.partition.fetch.bytes": 2 * setting.max_message_bytes,
    }
