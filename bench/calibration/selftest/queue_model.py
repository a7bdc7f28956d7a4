"""Models a shop as a queue, and computes the response times to be expected of it."""

import heapq
import random
from collections.abc import Iterable
from typing import Literal

import msgspec


class QueueModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the queue. It is the stub transport's ``Config``."""

    service_ms: float = 1.0
    law: Literal["constant", "exponential"] = "constant"
    clerks: int = 0
    """Orders served at a time, first come first served; 0: all of them."""
    stall_at_s: float = 0.0
    """After the first order; whoever would be served from then on waits until the stall is over."""
    stall_s: float = 0.0
    silent_every: int = 0
    """One in so many orders never ends; 0: none."""
    hold_ms: float = 0.0
    """How long each order holds the load process's own thread: what a client library must not do."""
    seed: int = 1


class SimulatedQueue:
    """A running queue: tells when each order ends, as orders come. Seconds after the first one."""

    def __init__(self, model: QueueModel) -> None:
        self._model = model
        self._free_s = [0.0] * model.clerks
        self._count = 0

    def ends_s(self, at_s: float) -> float | None:
        """Returns when the next order ends, which comes at ``at_s``, not before the one before it; None: never."""
        model, number = self._model, self._count
        self._count = number + 1
        if model.silent_every and number % model.silent_every == model.silent_every - 1:
            return None
        service_s = model.service_ms / 1000
        if model.law == "exponential":
            service_s *= random.Random(f"{model.seed}:{number}").expovariate(1.0)
        begins_s = max(at_s, heapq.heappop(self._free_s)) if self._free_s else at_s
        if model.stall_at_s <= begins_s < model.stall_at_s + model.stall_s:
            begins_s = model.stall_at_s + model.stall_s
        if model.clerks:
            heapq.heappush(self._free_s, begins_s + service_s)
        return begins_s + service_s


def compute_responses_s(model: QueueModel, arrivals_s: Iterable[float]) -> list[float | None]:
    """Returns each order's response time in seconds by Lindley's recursion, for one clerk or many; None: never."""
    queue, first_s, found = SimulatedQueue(model), None, []
    for at_s in arrivals_s:
        first_s = at_s if first_s is None else first_s
        ends_s = queue.ends_s(at_s - first_s)
        found.append(None if ends_s is None else ends_s - (at_s - first_s))
    return found
