"""Orders whose outcome is still to come, for clients that hear it on a queue or a topic of their own."""

import asyncio
from collections import OrderedDict

from shop.messages import KIND, OrderClosed
from transports.base import Finished
from transports.errors import TransportError, Unreadable
from transports.wire import Codec

REMEMBERED = 10_000
"""Orders that were given up, and whose outcome may come all the same: the newest of them."""
_OUTCOME = KIND[OrderClosed]


class Outcomes:
    """By order id. Used by one event loop."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._awaited: dict[str, asyncio.Future[Finished]] = {}
        self._given_up: OrderedDict[str, None] = OrderedDict()

    def expect(self, order_id: str) -> "asyncio.Future[Finished]":
        """Before the order is sent, since its outcome may be faster than its acceptance."""
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._awaited[order_id] = finished
        return finished

    def give_up(self, order_id: str) -> None:
        """The order was not accepted as far as one can tell; its outcome may come all the same, once."""
        if self._awaited.pop(order_id, None) is not None:
            self._given_up[order_id] = None
            if len(self._given_up) > REMEMBERED:
                self._given_up.popitem(last=False)

    def fail(self, error: TransportError) -> None:
        """No outcome can come any more, for those that wait."""
        for finished in self._awaited.values():
            if not finished.done():
                finished.set_exception(error)
        self._awaited.clear()

    def hear(self, order_id: str, body: bytes, at_ns: int) -> bool:
        """Tell whoever waits for it. False for an order that has its outcome already, or that nobody knows."""
        finished = self._awaited.pop(order_id, None)
        if finished is None:
            known = order_id in self._given_up
            self._given_up.pop(order_id, None)
            return known
        if finished.done():  # cancelled: whoever waited has given up
            return True
        try:
            outcome = self._codec.decode(_OUTCOME, body)
            assert isinstance(outcome, OrderClosed)
        except Unreadable as error:
            finished.set_exception(error)
        else:
            finished.set_result(Finished(outcome, at_ns))
        return True
