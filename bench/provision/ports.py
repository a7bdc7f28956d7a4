"""Finds free ports on 127.0.0.1, and checks who listens on a port."""

import asyncio
import os
import random
import socket
import sys
from collections import deque
from contextlib import ExitStack, suppress
from ipaddress import ip_address

import psutil

# Below the range from which Linux takes the ports of outgoing connections, so that none of those can take
# a port between our look and the server's bind. Random, so that two runs at once do not choose alike.
CANDIDATES = range(20_000, 32_768)
LOOPBACK = "127.0.0.1"
_claim_descriptors: deque[int] = deque(maxlen=64)
"""Descriptors, which end with the process: a socket object would complain that nobody closed it."""


def _claim_port(port: int) -> bool:
    """Whether no other process of ours has chosen it a moment ago: a broker binds its ports seconds after the choice.

    A name in Linux's abstract namespace of sockets is its owner's until it closes or ends.
    """
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0fourways-port-{port}")
    except OSError:
        claim.close()
        return False
    if len(_claim_descriptors) == _claim_descriptors.maxlen:
        os.close(_claim_descriptors.popleft())
    _claim_descriptors.append(claim.detach())
    return True


def find_free_ports(count: int) -> list[int]:
    """Return ``count`` different ports on which nobody listens and which no other run has just chosen.

    Raises OSError when there are not as many.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(CANDIDATES, len(CANDIDATES)):
            sock = held.enter_context(socket.socket())
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                continue
            if not _claim_port(port):
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"no {count} free ports on {LOOPBACK} between {CANDIDATES[0]} and {CANDIDATES[-1]}")


async def accepts_connections(host: str, port: int | str, *, timeout_s: float) -> bool:
    """Return whether a TCP connection to this host and port is accepted; False also for an invalid host or port."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError, ValueError, OverflowError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def find_listeners(pids: tuple[int, ...]) -> list[tuple[str, int]]:
    """Return the addresses and ports on which these processes listen. Raises psutil.Error."""
    found = []
    for pid in pids:
        for connection in psutil.Process(pid).net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                found.append((connection.laddr.ip, connection.laddr.port))
    return found


def has_public_listener(port: int) -> bool:
    """Return whether something on this machine accepts connections to this port from other machines.

    Raises psutil.AccessDenied where the system does not tell.
    """
    listening = [c.laddr for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    return any(address.port == port and not ip_address(address.ip).is_loopback for address in listening)
