"""Remembers records whose facts Kafka did not take, from one member of a group to the next."""

import time
from collections.abc import Callable

from aiokafka import TopicPartition

Place = tuple[TopicPartition, int]
"""A record, by its partition and offset."""


class UnsentFacts:
    """Records whose facts failed, each with the instant since when."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A record is given up when its fact has failed for ``limit_s``."""
        self.is_careful = False
        """Whether records are to be taken one at a time."""
        self._limit_s = limit_s
        self._clock = clock
        self._failing_since_s: dict[Place, float] = {}
        self._given_up: set[Place] = set()

    def fail(self, place: Place, began_s: float) -> None:
        """Notes that the fact of a record that was taken by itself failed; ``began_s`` is when it was taken."""
        if self._clock() - self._failing_since_s.setdefault(place, began_s) >= self._limit_s:
            self._given_up.add(place)

    def succeed(self, place: Place) -> None:
        """Notes that a record was carried on, or is a dead letter."""
        self._failing_since_s.pop(place, None)
        self._given_up.discard(place)

    def is_given_up(self, place: Place) -> bool:
        """Returns whether the fact of a record has failed for the limit."""
        return place in self._given_up

    def forget(self) -> None:
        """Forgets all failures: Kafka itself was away, which says nothing about one record."""
        self._failing_since_s.clear()
        self._given_up.clear()
