"""Reads the negotiated TLS version and cipher from a ServerHello at a local TCP tap.

gRPC in Python does not show its cipher, and settings only say what was meant. So one order of each trial goes through a
listener that forwards bytes as they are, whichever TLS library is used.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from shop.workflow import ENTRY_SERVICE
from transports.base import Setting

SUITES = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256"}
GROUPS = {0x0017: "secp256r1", 0x0018: "secp384r1", 0x001D: "X25519", 0x11EC: "X25519MLKEM768"}
"""IANA, TLS Parameters."""
VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random number of a ServerHello that asks for another try (RFC 8446, section 4.1.3)."""
_HANDSHAKE, _SERVER_HELLO = 22, b"\x02"
_SUPPORTED_VERSIONS, _KEY_SHARE = 43, 51


@dataclass(frozen=True, slots=True)
class NegotiatedTls:
    """Negotiated TLS parameters by their IANA names, or as hexadecimal numbers where the name is unknown."""

    version: str
    cipher: str
    exchange: str
    """The group of the key exchange; empty where the version has none."""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.version, self.cipher, self.exchange)))


def parse_negotiated_tls(sent: bytes) -> NegotiatedTls | None:
    """Parses what a server sent, from its first byte on (RFC 8446, sections 4.1.3 and 5.1).

    Returns None while the ServerHello is not complete, and for bytes that are no TLS.
    """
    while len(sent) > 5 and len(sent) >= (end := 5 + int.from_bytes(sent[3:5])):
        kind, record, sent = sent[0], sent[5:end], sent[end:]
        if kind == _HANDSHAKE and record[:1] == _SERVER_HELLO and record[6:38] != _RETRY:
            return _parse_server_hello(record[4:])
    return None


def _parse_server_hello(hello: bytes) -> NegotiatedTls:
    version, at = int.from_bytes(hello[:2]), 35 + hello[34]
    cipher, at = int.from_bytes(hello[at : at + 2]), at + 5
    group = None
    while at + 4 <= len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == _SUPPORTED_VERSIONS:
            version = int.from_bytes(hello[at + 4 : at + 6])
        elif kind == _KEY_SHARE:
            group = int.from_bytes(hello[at + 4 : at + 6])
        at += 4 + size
    return NegotiatedTls(
        VERSIONS.get(version, f"{version:#06x}"),
        SUITES.get(cipher, f"{cipher:#06x}"),
        "" if group is None else GROUPS.get(group, f"{group:#06x}"),
    )


class TlsTap:
    """A TCP tap that keeps what the server sends to the first client that connects."""

    def __init__(self) -> None:
        self.address = ""
        """host:port, for the client."""
        self._captured: bytearray | None = None

    @property
    def negotiated(self) -> NegotiatedTls | None:
        """What was negotiated; None when nobody connected, or nothing was agreed on."""
        return parse_negotiated_tls(bytes(self._captured or b""))

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: str) -> None:
        """Forwards bytes in both directions between the client and host:port ``there``."""
        host, _, port = there.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        first, self._captured = self._captured is None, bytearray() if self._captured is None else self._captured
        with suppress(OSError):
            await asyncio.gather(
                _copy_stream(reader, forth, None),
                _copy_stream(back, writer, self._captured if first else None),
                return_exceptions=True,
            )


async def _copy_stream(source: asyncio.StreamReader, sink: asyncio.StreamWriter, heard: bytearray | None) -> None:
    try:
        while chunk := await source.read(2**16):
            if heard is not None:
                heard += chunk
            sink.write(chunk)
            await sink.drain()
    finally:
        sink.close()


@asynccontextmanager
async def open_tls_tap(there: str, host: str = "127.0.0.1") -> AsyncIterator[TlsTap]:
    """Listens at ``host`` and forwards every connection to host:port ``there``, until exit."""
    ear = TlsTap()
    tasks: set[asyncio.Task[None]] = set()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await ear.forward(reader, writer, there)
        except asyncio.CancelledError:
            pass  # the listener has gone; asyncio would report it as our own error
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(met, host, 0)
    ear.address = f"{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield ear
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def route_through_tap(ear: TlsTap, setting: Setting) -> Setting:
    """Returns the setting of a client that connects through the tap."""
    if not setting.servers:
        return replace(setting, addresses={**setting.addresses, ENTRY_SERVICE: ear.address})
    there = find_entry_address(setting)
    return replace(setting, servers={name: url.replace(there, ear.address) for name, url in setting.servers.items()})


def find_entry_address(setting: Setting) -> str:
    """Returns host:port to which a buyer connects: of the first user service, or of the broker."""
    if not setting.servers:
        return setting.addresses_of(ENTRY_SERVICE)[0]
    (url, *_) = setting.servers.values()
    return url.rpartition("@")[2].rpartition("://")[2].partition("/")[0].partition(",")[0]
