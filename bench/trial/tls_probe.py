"""What client and server agreed on: read from the ServerHello as it passes by, whichever library's TLS it is.

gRPC in Python does not tell its cipher, and settings only say what was meant. So one order of each trial goes by way of
a listener that hands bytes on as they are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from shop.workflow import FRONT
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
class Negotiated:
    """By IANA's names, or as hexadecimal numbers where they are not known here."""

    version: str
    cipher: str
    exchange: str
    """Of keys; empty where the version has no such group."""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.version, self.cipher, self.exchange)))


def negotiated(sent: bytes) -> Negotiated | None:
    """From what a server sent, from its first byte on (RFC 8446, sections 4.1.3 and 5.1).

    None while the ServerHello is not complete, and for bytes that are no TLS.
    """
    while len(sent) > 5 and len(sent) >= (end := 5 + int.from_bytes(sent[3:5])):
        kind, record, sent = sent[0], sent[5:end], sent[end:]
        if kind == _HANDSHAKE and record[:1] == _SERVER_HELLO and record[6:38] != _RETRY:
            return _of(record[4:])
    return None


def _of(hello: bytes) -> Negotiated:
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
    return Negotiated(
        VERSIONS.get(version, f"{version:#06x}"),
        SUITES.get(cipher, f"{cipher:#06x}"),
        "" if group is None else GROUPS.get(group, f"{group:#06x}"),
    )


class Ear:
    """Hears what a server answers to whoever connects first."""

    def __init__(self) -> None:
        self.address = ""
        """host:port, for the client."""
        self._heard: bytearray | None = None

    @property
    def negotiated(self) -> Negotiated | None:
        """None when nobody came, or nothing was agreed on."""
        return negotiated(bytes(self._heard or b""))

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: str) -> None:
        host, _, port = there.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        first, self._heard = self._heard is None, bytearray() if self._heard is None else self._heard
        with suppress(OSError):
            await asyncio.gather(
                _pour(reader, forth, None), _pour(back, writer, self._heard if first else None), return_exceptions=True
            )


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter, heard: bytearray | None) -> None:
    try:
        while chunk := await source.read(2**16):
            if heard is not None:
                heard += chunk
            sink.write(chunk)
            await sink.drain()
    finally:
        sink.close()


@asynccontextmanager
async def overheard(there: str, host: str = "127.0.0.1") -> AsyncIterator[Ear]:
    """A listener at this host that is the way to host:port ``there``, until exit."""
    ear = Ear()
    tasks: set[asyncio.Task[None]] = set()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await ear.pass_on(reader, writer, there)
        except asyncio.CancelledError:
            pass  # the one who listens has gone; asyncio would report it as an error of ours
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


def by_way_of(ear: Ear, setting: Setting) -> Setting:
    """The setting of a client that comes by this way."""
    if not setting.servers:
        return replace(setting, addresses={**setting.addresses, FRONT: ear.address})
    there = entrance(setting)
    return replace(setting, servers={name: url.replace(there, ear.address) for name, url in setting.servers.items()})


def entrance(setting: Setting) -> str:
    """host:port at which a buyer comes in: of the first user service, or of the broker."""
    if not setting.servers:
        return setting.addresses_of(FRONT)[0]
    (url, *_) = setting.servers.values()
    return url.rpartition("@")[2].rpartition("://")[2].partition("/")[0].partition(",")[0]
