"""Pending orders of a client: matches outcomes to orders by order id, and by content where an id is in flight twice."""

import asyncio
from collections import OrderedDict
from typing import NamedTuple

from shop.messages import KIND_BY_TYPE, Order, OrderClosed
from transports.base import Finished
from transports.errors import TransportError, Unreadable
from transports.wire import Codec

MAX_ABANDONED = 10_000
"""The most abandoned orders that are remembered, the newest ones: their outcome may still come."""
_OUTCOME_KIND = KIND_BY_TYPE[OrderClosed]


class _Waiting(NamedTuple):
    order: Order
    finished: "asyncio.Future[Finished]"


class PendingOutcomes:
    """Pending orders by order id. Used by one event loop."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._waiting: dict[str, list[_Waiting]] = {}
        self._abandoned: OrderedDict[str, None] = OrderedDict()

    def register(self, order: Order) -> "asyncio.Future[Finished]":
        """Returns a future of the outcome. Call it before sending: the outcome may come before the acceptance."""
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(order.order_id, []).append(_Waiting(order, finished))
        return finished

    def abandon(self, order_id: str, finished: "asyncio.Future[Finished]") -> None:
        """Stops waiting for an order that was not accepted as far as is known; its outcome may still come, once."""
        for waiting in self._waiting.get(order_id, ()):
            if waiting.finished is finished:
                self._remove(order_id, waiting)
                self._abandoned[order_id] = None
                if len(self._abandoned) > MAX_ABANDONED:
                    self._abandoned.popitem(last=False)
                return

    def fail(self, error: TransportError) -> None:
        """Fails all pending orders with ``error``, as no outcome can come any more."""
        for same_id in self._waiting.values():
            for waiting in same_id:
                if not waiting.finished.done():
                    waiting.finished.set_exception(error)
        self._waiting.clear()

    def receive_outcome(self, order_id: str, body: bytes, at_ns: int) -> bool:
        """Resolves the future of this order. Returns False if the order already had an outcome or is unknown.

        The future raises Unreadable if ``body`` cannot be decoded. ``at_ns`` is when the outcome arrived, by
        ``time.monotonic_ns()``.
        """
        same_id = self._waiting.get(order_id)
        if same_id is None:
            known = order_id in self._abandoned
            self._abandoned.pop(order_id, None)
            return known
        try:
            outcome = self._codec.decode(_OUTCOME_KIND, body)
            assert isinstance(outcome, OrderClosed)
        except Unreadable as error:
            waiting = same_id[0]
            self._remove(order_id, waiting)
            if not waiting.finished.done():
                waiting.finished.set_exception(error)
            return True
        waiting = same_id[0]
        if len(same_id) > 1:  # one of them may be refused for its content while the other ships
            waiting = next((one for one in same_id if one.order == outcome.order), waiting)
        self._remove(order_id, waiting)
        if not waiting.finished.done():  # or it was cancelled: the waiting caller has given up
            waiting.finished.set_result(Finished(outcome, at_ns))
        return True

    def _remove(self, order_id: str, waiting: "_Waiting") -> None:
        same_id = self._waiting[order_id]
        same_id.remove(waiting)
        if not same_id:
            del self._waiting[order_id]
