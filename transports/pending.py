"""Pending orders of a client: matches outcomes to orders by order id."""

import asyncio
from collections import OrderedDict

from shop.messages import KIND_BY_TYPE, OrderClosed
from transports.base import Finished
from transports.errors import TransportError, Unreadable
from transports.wire import Codec

MAX_ABANDONED = 10_000
"""The most abandoned orders that are remembered, the newest ones: their outcome may still come."""
_OUTCOME_KIND = KIND_BY_TYPE[OrderClosed]


class PendingOutcomes:
    """Pending orders by order id. Used by one event loop."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._futures: dict[str, asyncio.Future[Finished]] = {}
        self._abandoned: OrderedDict[str, None] = OrderedDict()

    def register(self, order_id: str) -> "asyncio.Future[Finished]":
        """Returns a future of the outcome. Call it before sending: the outcome may come before the acceptance."""
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._futures[order_id] = finished
        return finished

    def abandon(self, order_id: str) -> None:
        """Stops waiting for an order that was not accepted as far as is known; its outcome may still come, once."""
        if self._futures.pop(order_id, None) is not None:
            self._abandoned[order_id] = None
            if len(self._abandoned) > MAX_ABANDONED:
                self._abandoned.popitem(last=False)

    def fail(self, error: TransportError) -> None:
        """Fails all pending orders with ``error``, as no outcome can come any more."""
        for finished in self._futures.values():
            if not finished.done():
                finished.set_exception(error)
        self._futures.clear()

    def receive_outcome(self, order_id: str, body: bytes, at_ns: int) -> bool:
        """Resolves the future of this order. Returns False if the order already had an outcome or is unknown.

        The future raises Unreadable if ``body`` cannot be decoded. ``at_ns`` is when the outcome arrived, by
        ``time.monotonic_ns()``.
        """
        finished = self._futures.pop(order_id, None)
        if finished is None:
            known = order_id in self._abandoned
            self._abandoned.pop(order_id, None)
            return known
        if finished.done():  # cancelled: the waiting caller has given up
            return True
        try:
            outcome = self._codec.decode(_OUTCOME_KIND, body)
            assert isinstance(outcome, OrderClosed)
        except Unreadable as error:
            finished.set_exception(error)
        else:
            finished.set_result(Finished(outcome, at_ns))
        return True
