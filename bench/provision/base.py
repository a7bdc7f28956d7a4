"""What a broker is to the rest of the house: there, or not there and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from transports.security import NONE

Say = Callable[[str], None]

FAR = "127.0.0.2"
"""Loopback as well. What comes to a port of it goes on to the same port of 127.0.0.1, through a network that can be
cut and slowed (bench/provision/toxiproxy.py)."""


@dataclass(frozen=True, slots=True)
class Security:
    """At which levels brokers have to be reached, the least first, and with which folder of keys."""

    levels: tuple[str, ...] = (NONE,)
    keys: str = ""


PLAIN = Security()


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
    near: str = ""
    """host:port where it listens for clients that come by way of FAR, at the level of ``url`` and at no other; empty
    when there is no such way"""
    security: str = NONE
    """the level at which ``url`` is to be spoken to"""
    keys: str = ""
    """the folder of keys with which; never what is in it"""
    further: Mapping[str, str] = field(default_factory=dict, hash=False)
    """by level, where it listens beside ``url``"""

    def at(self, security: str) -> str:
        """Where it listens at this level of security."""
        return self.url if security == self.security else self.further[security]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A server that cannot be had."""

    name: str
    why: str
    """one sentence that says what is missing and what to type"""
