"""Finds the servers that a run needs, or starts them and stops them again."""

from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import (
    BROKER_NAMES,
    URL_VARIABLES,
    is_broker_running,
    provide_brokers,
    start_kept_brokers,
    stop_kept_brokers,
)
from bench.provision.cleanup import remove_orphans
from bench.provision.ports import find_free_ports

__all__ = [
    "BROKER_NAMES",
    "URL_VARIABLES",
    "Broker",
    "Unavailable",
    "find_free_ports",
    "is_broker_running",
    "provide_brokers",
    "remove_orphans",
    "start_kept_brokers",
    "stop_kept_brokers",
]
