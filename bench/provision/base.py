"""Types shared by provisioning: Broker, Unavailable and Security."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from transports.security import NONE

Say = Callable[[str], None]

PROXY_HOST = "127.0.0.2"
"""Loopback as well. What comes to a port of it goes on to the same port of 127.0.0.1, through a network that can be
cut and slowed (bench/provision/toxiproxy.py)."""


@dataclass(frozen=True, slots=True)
class Security:
    """The security levels at which brokers must be reachable, lowest first, and the folder of keys to use."""

    levels: tuple[str, ...] = (NONE,)
    keys: str = ""


PLAIN = Security()


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker that has answered a request."""

    name: str
    """rabbitmq, or kafka"""
    url: str
    """amqp://guest:guest@127.0.0.1:PORT/, or 127.0.0.1:PORT"""
    provided_by: str
    """given, kept, compose, unpacked (a current RabbitMQ that set-up unpacked) or native (installed on the machine)"""
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
    runtime: str = ""
    """what it runs on, as the server says it, such as Erlang/OTP 29.1.1; empty when it does not say"""

    def at(self, security: str) -> str:
        """Return the address of the broker at this security level. Raises KeyError for a level without one."""
        return self.url if security == self.security else self.further[security]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A broker that cannot be used, and the reason."""

    name: str
    why: str
    """one sentence that says what is missing and what to type"""
