"""A TCP proxy whose connections a test can reset, as the death of a server or of its network does."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.provision.ports import find_free_ports

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close() sends a reset."""


class CutProxy:
    """Passes bytes on between clients and a server; ``cut`` resets them all and listens no more until ``mend``."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        (self.port,) = find_free_ports(1)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers.add(far_writer)
            try:
                ways = [asyncio.create_task(_copy(*way)) for way in ((reader, far_writer), (far_reader, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
            finally:
                self._writers.discard(far_writer)
                far_writer.close()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[CutProxy]:
    proxy = CutProxy(host, port)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.cut()
