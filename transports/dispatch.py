"""What a service does with a message, whatever carries it: ``answer`` for a chain, a ``Desk`` alone for the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic_ns

from shop.messages import Message, OrderClosed
from shop.service import Service
from shop.workflow import asked_next, consumes
from transports.base import Finished, Receipt
from transports.errors import Failed
from transports.tracing import Trace
from transports.wire import Codec

_NO_TRACE = Trace(0)


@dataclass(slots=True)
class _Waiting:
    """Messages that wait for the worker thread, and who is told."""

    messages: Sequence[Message]
    arrived_ns: int
    done: asyncio.Future[list[Message]]


class Desk:
    """A service at work: its handlers run one at a time.

    Over memory they run right here. Over a disk they run in one worker thread, and whatever came in while that was
    busy shares the next transaction (group commit), so that a commit is paid once for all who wait.
    """

    def __init__(self, service: Service, trace: Trace = _NO_TRACE) -> None:
        """``trace`` stamps the orders that it wants."""
        self.service = service
        self._trace = trace
        self._waiting: list[_Waiting] = []
        self._thread = ThreadPoolExecutor(1, f"{service.name}-store") if service.blocking else None
        self._working: asyncio.Task[None] | None = None

    async def handle(self, message: Message, arrived_ns: int = 0) -> Message:
        """The fact that follows from ``message``; its effects are committed.

        ``arrived_ns``: when its bytes were in the process, by ``time.monotonic_ns()``; 0 where that is not known.
        """
        if self._thread is not None:
            return (await self._queued((message,), arrived_ns))[0]
        if not self._trace.wants(message.order.order_id):
            return self.service.handle(message)
        begun_ns = monotonic_ns()
        fact = self.service.handle(message)
        self._trace.add(message, arrived_ns, begun_ns, monotonic_ns())
        return fact

    async def handle_all(self, messages: Sequence[Message], arrived_ns: int = 0) -> list[Message]:
        """The same for several that arrived together, in order."""
        if self._thread is not None:
            return await self._queued(messages, arrived_ns)
        begun_ns = monotonic_ns()
        facts = self.service.handle_all(messages)
        self._stamp(messages, arrived_ns, begun_ns, monotonic_ns(), 0)
        return facts

    def _stamp(self, messages: Sequence[Message], arrived_ns: int, begun_ns: int, ended_ns: int, commit: int) -> None:
        for message in messages:
            if self._trace.wants(message.order.order_id):
                self._trace.add(message, arrived_ns, begun_ns, ended_ns, commit)

    async def _queued(self, messages: Sequence[Message], arrived_ns: int) -> list[Message]:
        done: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(messages, arrived_ns, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            together = [message for waiting in batch for message in waiting.messages]
            begun_ns = monotonic_ns()
            try:
                facts = await loop.run_in_executor(self._thread, self.service.handle_all, together)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
                continue
            ended_ns, commit_ns, start = monotonic_ns(), self.service.store.commit_ns, 0
            for waiting in batch:
                self._stamp(waiting.messages, waiting.arrived_ns, begun_ns, ended_ns, commit_ns)
                if not waiting.done.done():
                    waiting.done.set_result(facts[start : start + len(waiting.messages)])
                start += len(waiting.messages)
        self._working = None

    async def __aenter__(self) -> "Desk":
        return self

    async def __aexit__(self, *error: object) -> None:
        """Whatever is being handled is finished first."""
        if self._working is not None:
            await self._working
        if self._thread is not None:
            self._thread.shutdown()


def told(codec: Codec, content: bytes) -> Receipt:
    """What a chain's client has when the answer to its order, encoded, is in. Raises Unreadable, and Failed when it is
    no outcome."""
    outcome = codec.decode_answer(content)
    now_ns = monotonic_ns()
    if not isinstance(outcome, OrderClosed):
        raise Failed(f"the shop answered with {type(outcome).__name__}, which is no outcome")
    return Receipt(now_ns, Finished(outcome, now_ns))


Ask = Callable[[str, Message], Awaitable[bytes]]
"""``await ask(service, fact)`` sends a fact to a service further along and gives its answer, encoded."""


async def answer(desk: Desk, codec: Codec, message: Message, ask: Ask, arrived_ns: int = 0) -> bytes:
    """Handle; then ask onward, or return, or handle what came back: the fact that upstream has to consume, encoded.

    Nobody calls backwards: a fact for a service upstream is the answer, and the first service on the way back that
    consumes it handles it. Services in between pass it on as they got it.
    """
    name = desk.service.name
    fact = await desk.handle(message, arrived_ns)
    while (consumer := asked_next(name, type(fact))) is not None:
        body = await ask(consumer, fact)
        if not consumes(name, codec.type_of_answer(body)):
            return body
        fact = await desk.handle(codec.decode_answer(body), monotonic_ns())
    return codec.encode_answer(fact)
