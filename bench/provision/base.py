"""What a broker is to the rest of the house: there, or not there and why."""

from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Broker:
    """A server that answered when it was asked."""

    name: str
    """rabbitmq, or kafka"""
    url: str
    """amqp://guest:guest@127.0.0.1:PORT/, or 127.0.0.1:PORT"""
    provided_by: str
    """given, kept, compose or native"""
    version: str
    """as the server says it, empty when it cannot be asked"""
    pids: tuple[int, ...] = ()
    """its processes on this machine, the server itself first; none when it was given or is in a container"""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A server that cannot be had."""

    name: str
    why: str
    """one sentence that says what is missing and what to type"""


class InUse(Exception):
    """What was to be stopped is used by a run. The message is a sentence for whoever asked for it."""


class StartFailed(Exception):
    """A server did not come up. The message is a sentence for whoever asked for it."""
