"""What a service does with a message, whatever carries it: ``answer`` for a chain, ``pass_on`` for the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from shop.messages import Message
from shop.service import Service
from shop.workflow import consumer_of, is_onward, is_outcome


class Desk:
    """A service at work: its handlers run one at a time.

    Over memory they run right here. Over a disk they run in one worker thread, and whatever came in while that was
    busy shares the next transaction (group commit), so that a commit is paid once for all who wait.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._waiting: list[tuple[Sequence[Message], asyncio.Future[list[Message]]]] = []
        self._thread = ThreadPoolExecutor(1, f"{service.name}-store") if service.blocking else None
        self._working: asyncio.Task[None] | None = None

    async def handle(self, message: Message) -> Message:
        """The fact that follows from ``message``; its effects are committed."""
        if self._thread is None:
            return self.service.handle(message)
        return (await self._queued((message,)))[0]

    async def handle_all(self, messages: Sequence[Message]) -> list[Message]:
        """The same for several, in order."""
        if self._thread is None:
            return self.service.handle_all(messages)
        return await self._queued(messages)

    async def _queued(self, messages: Sequence[Message]) -> list[Message]:
        done: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            together = [message for messages, _ in batch for message in messages]
            try:
                facts = await loop.run_in_executor(self._thread, self.service.handle_all, together)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            start = 0
            for messages, done in batch:
                if not done.done():
                    done.set_result(facts[start : start + len(messages)])
                start += len(messages)
        self._working = None

    async def __aenter__(self) -> "Desk":
        return self

    async def __aexit__(self, *error: object) -> None:
        """Whatever is being handled is finished first."""
        if self._working is not None:
            await self._working
        if self._thread is not None:
            self._thread.shutdown()


async def answer(desk: Desk, message: Message, ask: Callable[[str, Message], Awaitable[Message]]) -> Message:
    """Handle; then ask onward, or return, or handle what came back: the fact that upstream has to consume.

    ``ask(service, fact)`` sends a fact to a service further along and returns its answer. Nobody calls backwards: a
    fact for a service upstream is the answer, and the first service on the way back that consumes it handles it.
    """
    fact = await desk.handle(message)
    name = desk.service.name
    while not is_outcome(fact):
        consumer = consumer_of(fact)
        if consumer == name:
            fact = await desk.handle(fact)
        elif is_onward(name, consumer):
            fact = await ask(consumer, fact)
        else:
            break
    return fact
