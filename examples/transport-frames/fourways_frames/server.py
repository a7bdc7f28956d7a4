"""A service that answers frames with frames."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fourways_frames.client import Asker
from fourways_frames.frame import Status, framed, read
from shop.messages import KIND
from shop.workflow import FRONT, REQUEST
from transports.base import Serving, Setting
from transports.dispatch import Desk, answer
from transports.errors import NoOutcome, TooLarge, TransportError, Unreachable, Unreadable
from transports.wire import codec_named

_STATUS: tuple[tuple[type[TransportError], Status], ...] = (
    (Unreadable, Status.REFUSED),
    (NoOutcome, Status.LATE),
    (TransportError, Status.FAILED),
)


class Server:
    """A task per connection, which carries one exchange after the other."""

    def __init__(self, desk: Desk, serving: Serving, ask: Asker, setting: Setting) -> None:
        name = desk.service.name
        self._desk = desk
        self._serving = serving
        self._ask = ask
        self._codec = codec_named(setting.codec)
        self._kind = KIND[REQUEST[name]]
        self._limit_bytes = setting.max_order_bytes if name == FRONT else setting.max_message_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._ending = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Idle connections are closed, and what is in hand on the others is answered."""
        self._ending = True
        for writer in self._idle:
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self._ending:
                self._idle.add(writer)
                _, body = await read(reader, self._limit_bytes)
                self._idle.discard(writer)
                writer.write(await self._answer(body))
                await writer.drain()
        except (TooLarge, ValueError) as error:
            # Where the next frame begins is not known, so this is the end of the conversation.
            self._serving.unreadable += 1
            writer.write(framed(Status.REFUSED, str(error).encode()))
        except (OSError, EOFError):
            pass  # whoever asked has gone
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        arrived_ns = time.monotonic_ns()
        try:
            message = self._codec.decode(self._kind, body)
            content = await answer(self._desk, self._codec, message, self._ask, arrived_ns)
        except TransportError as error:
            if isinstance(error, Unreadable):
                self._serving.unreadable += 1
            else:
                self._serving.failed += 1
            return framed(next(status for known, status in _STATUS if isinstance(error, known)), str(error).encode())
        self._serving.handled += 1
        return framed(Status.MESSAGE, content)


@asynccontextmanager
async def listening(server: Server, address: str, backlog: int) -> AsyncIterator[None]:
    """Raises Unreachable when the port is taken."""
    host, _, port = address.rpartition(":")
    try:
        listener = await asyncio.start_server(server.connected, host, int(port), backlog=backlog)
    except OSError as error:
        raise Unreachable(f"cannot listen on {address}: {error.strerror}; choose another port") from error
    try:
        yield
    finally:
        listener.close()
        await server.finished()
