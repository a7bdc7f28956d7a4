"""Serves one service over TCP: reads a frame, handles its message, answers with a frame."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fourways_frames.client import ServiceCaller
from fourways_frames.frame import FrameStatus, build_frame, read_frame
from shop.messages import KIND_BY_TYPE
from shop.workflow import ENTRY_SERVICE, REQUEST_TYPES
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, handle_in_chain
from transports.errors import ContentConflict, NoOutcome, TooLarge, TransportError, Unreachable, Unreadable
from transports.wire import load_codec

_STATUS_BY_ERROR: tuple[tuple[type[TransportError], FrameStatus], ...] = (
    (Unreadable, FrameStatus.REFUSED),
    (ContentConflict, FrameStatus.REFUSED),
    (NoOutcome, FrameStatus.LATE),
    (TransportError, FrameStatus.FAILED),
)


class FrameServer:
    """Runs one task per connection, which answers one frame after the other."""

    def __init__(
        self, processor: MessageProcessor, serving: ServingStats, ask: ServiceCaller, setting: Setting
    ) -> None:
        name = processor.service.name
        self._processor = processor
        self._serving = serving
        self._ask = ask
        self._codec = load_codec(setting.codec)
        self._kind = KIND_BY_TYPE[REQUEST_TYPES[name]]
        self._limit_bytes = setting.max_order_bytes if name == ENTRY_SERVICE else setting.max_message_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._ending = False

    def accept_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve_connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Closes idle connections and waits until the frames in progress are answered."""
        self._ending = True
        for writer in self._idle:
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self._ending:
                self._idle.add(writer)
                _, body = await read_frame(reader, self._limit_bytes)
                self._idle.discard(writer)
                writer.write(await self._answer_frame(body))
                await writer.drain()
        except (TooLarge, ValueError) as error:
            # Where the next frame begins is not known, so this is the end of the conversation.
            self._serving.unreadable += 1
            writer.write(build_frame(FrameStatus.REFUSED, str(error).encode()))
        except (OSError, EOFError):
            pass  # whoever asked has gone
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _answer_frame(self, body: bytes) -> bytes:
        arrived_ns = time.monotonic_ns()
        try:
            message = self._codec.decode(self._kind, body)
            content = await handle_in_chain(self._processor, self._codec, message, self._ask, arrived_ns)
        except TransportError as error:
            if isinstance(error, Unreadable):
                self._serving.unreadable += 1
            else:
                self._serving.failed += 1
            return build_frame(
                next(status for known, status in _STATUS_BY_ERROR if isinstance(error, known)), str(error).encode()
            )
        self._serving.handled += 1
        return build_frame(FrameStatus.MESSAGE, content)


@asynccontextmanager
async def run_server(server: FrameServer, address: str, backlog: int) -> AsyncIterator[None]:
    """Listens on ``address`` until exit. Raises Unreachable when the port is taken."""
    host, _, port = address.rpartition(":")
    try:
        listener = await asyncio.start_server(server.accept_connection, host, int(port), backlog=backlog)
    except OSError as error:
        raise Unreachable(f"cannot listen on {address}: {error.strerror}; choose another port") from error
    try:
        yield
    finally:
        listener.close()
        await server.finished()
