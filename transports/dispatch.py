"""Handles one message in a service: decodes it, runs the handler, calls the next service.

``handle_in_chain`` is for transports that call and wait (REST, gRPC, memory); brokered transports use
``MessageProcessor`` alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any, TypeVar

from shop.messages import Message, OrderClosed, PlaceOrder
from shop.service import Conflict, Service
from shop.store import StoreUnavailable
from shop.workflow import consumes, find_next_service
from transports.base import Finished, Receipt
from transports.errors import ContentConflict, Failed, Unavailable
from transports.log_limit import LimitedLog
from transports.tracing import Tracer
from transports.wire import Codec

_log = logging.getLogger(__name__)

_NO_TRACER = Tracer(0)

T = TypeVar("T")


@dataclass(slots=True)
class _QueuedBatch:
    """Messages that wait for the worker thread, and the future of their facts."""

    messages: Sequence[Message]
    arrived_ns: int
    done: asyncio.Future[list[Message | Conflict]]


class MessageProcessor:
    """Runs the handlers of one service, one at a time.

    Over a memory store they run in the event loop. Over a disk they run in one worker thread, and all messages that
    came in while it was busy share the next transaction (group commit), so that one commit serves them all.
    """

    def __init__(self, service: Service, trace: Tracer = _NO_TRACER) -> None:
        """``trace`` stamps the orders that it samples."""
        self.service = service
        self._trace = trace
        self._queued_batches: list[_QueuedBatch] = []
        self._thread = ThreadPoolExecutor(1, f"{service.name}-store") if service.blocking else None
        self._queue_task: asyncio.Task[None] | None = None
        self._store_log = LimitedLog(_log)
        self._fault_log = LimitedLog(_log)

    async def handle(self, message: Message, arrived_ns: int = 0) -> Message:
        """Returns the fact that follows from ``message``, with its effects committed.

        ``arrived_ns`` is when the bytes arrived in this process, by ``time.monotonic_ns()``; 0 if that is not known.
        Raises ContentConflict for an order that had other content before, Unavailable when the store cannot take it for
        now, and Failed for any other exception of the handler. What the exception says is logged, and told to nobody.
        """
        try:
            return await self._handle(message, arrived_ns)
        except Conflict as error:
            raise ContentConflict(str(error)) from error
        except Exception as error:
            raise self._translate(error) from error

    async def _handle(self, message: Message, arrived_ns: int) -> Message:
        if self._thread is not None:
            fact = (await self._enqueue((message,), arrived_ns))[0]
            if isinstance(fact, Conflict):
                raise fact
            return fact
        if not self._trace.is_sampled(message.order.order_id):
            return self.service.handle(message)
        begun_ns = monotonic_ns()
        fact = self.service.handle(message)
        self._trace.add(message, arrived_ns, begun_ns, monotonic_ns())
        return fact

    async def handle_all(self, messages: Sequence[Message], arrived_ns: int = 0) -> list[Message | Conflict]:
        """Returns the facts that follow from ``messages``, which arrived together, in order and committed.

        The Conflict of a message that is refused stands where its fact would. Raises Unavailable and Failed as
        ``handle`` does; then none of them has had an effect over a disk.
        """
        try:
            if self._thread is not None:
                return await self._enqueue(messages, arrived_ns)
            begun_ns = monotonic_ns()
            facts = self.service.handle_all(messages)
        except Exception as error:
            raise self._translate(error) from error
        self._stamp(messages, arrived_ns, begun_ns, monotonic_ns(), 0)
        return facts

    def _translate(self, error: Exception) -> Failed:
        """Logs an exception of the handler and returns the error that callers see, without inner detail."""
        name = self.service.name
        if isinstance(error, StoreUnavailable):
            self._store_log.warning(str(error))
            return Unavailable(f"the {name} service cannot store anything for now; try again later")
        self._fault_log.warning(f"the {name} service failed on a message: {error!r}")
        return Failed(f"the {name} service failed on this message; its log says why")

    def _stamp(self, messages: Sequence[Message], arrived_ns: int, begun_ns: int, ended_ns: int, commit: int) -> None:
        for message in messages:
            if self._trace.is_sampled(message.order.order_id):
                self._trace.add(message, arrived_ns, begun_ns, ended_ns, commit)

    async def _enqueue(self, messages: Sequence[Message], arrived_ns: int) -> list[Message | Conflict]:
        done: asyncio.Future[list[Message | Conflict]] = asyncio.get_running_loop().create_future()
        self._queued_batches.append(_QueuedBatch(messages, arrived_ns, done))
        if self._queue_task is None:
            self._queue_task = asyncio.create_task(self._drain_queue())
        return await done

    async def _drain_queue(self) -> None:
        while self._queued_batches:
            batches, self._queued_batches = self._queued_batches, []
            error = await self._commit(batches)
            if error is None:
                continue
            if not isinstance(error, StoreUnavailable) and len(batches) > 1:
                batches, error = await self._commit_each(batches)
            for waiting in batches:
                if error is not None and not waiting.done.done():
                    waiting.done.set_exception(error)
        self._queue_task = None

    async def _commit_each(self, batches: list[_QueuedBatch]) -> tuple[list[_QueuedBatch], Exception | None]:
        """Handles each batch by itself, since one of them spoils the transaction that all shared.

        Returns those that are still to be told, and what: a store that is away is away for all that follow.
        """
        for at, waiting in enumerate(batches):
            error = await self._commit([waiting])
            if isinstance(error, StoreUnavailable):
                return batches[at:], error
            if error is not None and not waiting.done.done():
                waiting.done.set_exception(error)
        return [], None

    async def _commit(self, batches: Sequence[_QueuedBatch]) -> Exception | None:
        """Handles batches in one transaction and resolves their futures; returns the exception if there was one."""
        together = [message for waiting in batches for message in waiting.messages]
        begun_ns = monotonic_ns()
        try:
            facts = await asyncio.get_running_loop().run_in_executor(self._thread, self.service.handle_all, together)
        except Exception as error:  # noqa: BLE001 - the waiting callers get it
            return error
        ended_ns, commit_ns, start = monotonic_ns(), self.service.store.commit_ns, 0
        for waiting in batches:
            self._stamp(waiting.messages, waiting.arrived_ns, begun_ns, ended_ns, commit_ns)
            if not waiting.done.done():
                waiting.done.set_result(facts[start : start + len(waiting.messages)])
            start += len(waiting.messages)
        return None

    async def __aenter__(self) -> "MessageProcessor":
        return self

    async def __aexit__(self, *error: object) -> None:
        """Waits for the messages in progress."""
        if self._queue_task is not None:
            await self._queue_task
        if self._thread is not None:
            self._thread.shutdown()
        self._store_log.flush()
        self._fault_log.flush()


class OrdersInHand:
    """Work on orders that goes on when its caller has gone, as an order between charge and shipment must."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what ``work`` returns. To cancel the wait does not cancel the work."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Waits until no work is in progress."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def build_refusal(message: Message, reason: str) -> OrderClosed | None:
    """Returns the outcome that tells the buyer of an order that it was refused; None for anything but an order.

    A method that pushes outcomes sends it for an order that had other content before. A chain answers with an error.
    """
    return OrderClosed(message.order, "rejected", 0, "", reason) if isinstance(message, PlaceOrder) else None


def decode_receipt(codec: Codec, content: bytes) -> Receipt:
    """Returns the receipt for an order from the encoded answer of a chain.

    Raises Unreadable if it cannot be decoded, and Failed if it is not an outcome.
    """
    outcome = codec.decode_answer(content)
    now_ns = monotonic_ns()
    if not isinstance(outcome, OrderClosed):
        raise Failed(f"the shop answered with {type(outcome).__name__}, which is no outcome")
    return Receipt(now_ns, Finished(outcome, now_ns))


CallService = Callable[[str, Message], Awaitable[bytes]]
"""``await ask(service, fact)`` sends a fact to a service further along and gives its answer, encoded."""


async def handle_in_chain(
    processor: MessageProcessor, codec: Codec, message: Message, ask: CallService, arrived_ns: int = 0
) -> bytes:
    """Handles ``message`` and returns the encoded fact that the caller has to consume.

    A fact for a later service is sent there with ``ask``. A fact for an earlier service is the answer: no service calls
    backwards, and the first service on the way back that consumes it handles it. Services in between pass it on
    unchanged. ``arrived_ns`` is as in ``MessageProcessor.handle``.
    """
    name = processor.service.name
    fact = await processor.handle(message, arrived_ns)
    while (consumer := find_next_service(name, type(fact))) is not None:
        try:
            body = await ask(consumer, fact)
        except Unavailable as error:
            # Only the caller right before it tries again; each service doing so would multiply the attempts.
            raise Failed(str(error)) from error
        if not consumes(name, codec.read_answer_type(body)):
            return body
        fact = await processor.handle(codec.decode_answer(body), monotonic_ns())
    return codec.encode_answer(fact)
