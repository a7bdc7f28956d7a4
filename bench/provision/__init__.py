"""The servers that a run needs: found, or started here and stopped again."""

from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import NAMES, VARIABLES, alive, brokers, down, up
from bench.provision.cleanup import sweep
from bench.provision.ports import free_ports

__all__ = [
    "NAMES",
    "VARIABLES",
    "Broker",
    "Unavailable",
    "alive",
    "brokers",
    "down",
    "free_ports",
    "sweep",
    "up",
]
