"""Commits the offsets of what a service has handled, beside its work."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from transports.backends.kafka.client_libraries import Consumer
from transports.backends.kafka.topology import build_unreachable
from transports.base import Setting
from transports.errors import Unreachable

_log = logging.getLogger(__name__)

Offsets = dict[TopicPartition, int]


class NotAcknowledged(Unreachable):
    """Kafka did not take a fact, for now: what led to it is not committed."""


def build_not_acknowledged(setting: Setting, error: KafkaError) -> NotAcknowledged:
    """Returns the error of a fact that Kafka did not take."""
    return NotAcknowledged(str(build_unreachable(setting, error)))


class CommitQueue:
    """Commits offsets, in the order of the batches, once the facts that follow from them are acknowledged.

    While a commit is in progress, and until the interval after it is over, batches gather; one commit then covers them
    all. A fact that is not acknowledged is noticed as late as that.
    """

    def __init__(self, consumer: Consumer, setting: Setting, interval_s: float) -> None:
        self._consumer = consumer
        self._setting = setting
        self._interval_s = interval_s
        self._finishing = asyncio.Event()
        self._batches: asyncio.Queue[tuple[Sequence[asyncio.Future[Any]], Offsets] | None] = asyncio.Queue()

    def add(self, sent: Sequence[asyncio.Future[Any]], offsets: Offsets) -> None:
        self._batches.put_nowait((sent, offsets))

    def finish(self) -> None:
        """Makes ``run`` commit what was added, without delay, and return."""
        self._finishing.set()
        self._batches.put_nowait(None)

    async def run(self) -> None:
        """Commits until ``finish`` is called.

        Raises NotAcknowledged if a fact was not acknowledged; then neither its batch nor later ones are committed.
        """
        finishing = False
        while not finishing:
            batch = await self._batches.get()
            offsets: Offsets = {}
            while batch is not None:
                sent, reached = batch
                try:
                    await asyncio.gather(*sent)
                except KafkaError as error:
                    raise build_not_acknowledged(self._setting, error) from error
                offsets |= reached
                if self._batches.empty():
                    break
                batch = self._batches.get_nowait()
            finishing = batch is None
            if offsets:
                await self._commit(offsets)
            if self._interval_s and not finishing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._finishing.wait()

    async def _commit(self, offsets: Offsets) -> None:
        try:
            await self._consumer.commit(offsets)
        except KafkaError as error:
            # Delivered again after a restart; remembered decisions make that harmless.
            _log.warning("a commit was refused: %r", error)
