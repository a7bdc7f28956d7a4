"""Keeps a process of a service in its consumer group while Kafka does not take its facts.

A fact that is not acknowledged was perhaps written, and the records after it were handled: what can be said for sure is
what was committed. So the member leaves the group, and a new one begins at the last commit, with pauses that grow. It
takes records one at a time until a batch is through. A record whose fact fails for the limit is parked.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from aiokafka.errors import KafkaError

from transports.backends.kafka.client_libraries import Consumer, Producer, join_group, open_producer
from transports.backends.kafka.commits import NotAcknowledged
from transports.backends.kafka.config import Config
from transports.backends.kafka.server import GroupMember
from transports.backends.kafka.topology import TrialTopics, build_unreachable, is_transient
from transports.backends.kafka.unsent import UnsentFacts
from transports.base import Setting
from transports.log_limit import LimitedLog
from transports.probing import FIRST_PAUSE_S, MAX_PAUSE_S

_log = logging.getLogger(__name__)


class Membership:
    """The members of a group that a process is, one after the other."""

    def __init__(
        self,
        setting: Setting,
        config: Config,
        places: TrialTopics,
        service: str,
        build_member: Callable[[Consumer, Producer, UnsentFacts], GroupMember],
    ) -> None:
        self.joined = asyncio.Event()
        """The first member has its partitions."""
        self._setting, self._config, self._places, self._service = setting, config, places, service
        self._build_member = build_member
        self._unsent = UnsentFacts(setting.park_after_s)
        self._member: GroupMember | None = None
        self._stopping = asyncio.Event()
        self._trouble_log = LimitedLog(_log)

    async def run(self) -> None:
        """Consumes until ``stop``.

        Raises Unreachable if the first member cannot join, for a permanent error, and if the last facts are not
        acknowledged.
        """
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                async with AsyncExitStack() as stack:
                    producer = await stack.enter_async_context(
                        open_producer(self._config, self._setting, self._service)
                    )
                    consumer = await stack.enter_async_context(
                        join_group(self._config, self._setting, self._service, self._places)
                    )
                    self._member = self._build_member(consumer, producer, self._unsent)
                    self.joined.set()
                    if not self._stopping.is_set():
                        await self._member.run()
                    return
            except NotAcknowledged as error:
                if self._stopping.is_set():
                    raise
                self._trouble_log.warning(f"not carried on, and to be read again: {error}")
            except KafkaError as error:
                if not self.joined.is_set() or not is_transient(error):
                    raise build_unreachable(self._setting, error) from error
                self._unsent.forget()
                self._trouble_log.warning(str(build_unreachable(self._setting, error)))
            self._unsent.is_careful = True
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def wait_until_joined(self, running: "asyncio.Task[None]") -> None:
        """Returns when the first member has its partitions. Raises what ``running``, the task of ``run``, raises."""
        joined = asyncio.create_task(self.joined.wait())
        try:
            await asyncio.wait({running, joined}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running})
            raise
        finally:
            joined.cancel()
        if running.done():
            await running

    def stop(self) -> None:
        """Lets the member finish what it has in hand, and has no other follow it."""
        self._stopping.set()
        if self._member is not None:
            self._member.stop()
