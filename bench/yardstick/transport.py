"""Makes each bare chain a transport, so that it is driven, timed and costed as the methods are."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec

from bench.load.workload.orders import build_shipped_outcome
from bench.yardstick import PassBody, import_bare_chain
from shop.messages import PlaceOrder
from shop.service import Service
from shop.store import Durability
from transports.base import Acceptance, Client, Finished, Receipt, ServingStats, Setting, Style, Traits, Transport
from transports.errors import Failed, TooLarge
from transports.options import parse_options
from transports.registry import load_transport
from transports.wire import load_codec

KEEPS_NOTHING: Mapping[Durability, str] = dict.fromkeys(("fast", "safe"), "D0: nothing is kept")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bare chain has no options: it has those of its method at their defaults."""


class BareTransport(Transport):
    """The bare chain of ``method``: its services use no store, and an order that comes back has shipped."""

    Config = Config
    method: ClassVar[str]

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        parse_options(f"bare-{self.method}", setting.options, Config)
        self._chain = import_bare_chain(self.method)

    async def prepare(self) -> None:
        await load_transport(self.method)(self.setting).prepare()

    async def remove(self) -> None:
        await load_transport(self.method)(self.setting).remove()

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        async with self._chain.serve(service.name, self.setting):
            yield ServingStats()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with self._chain.connect(self.setting) as pass_:
            yield BareClient(self.setting, pass_)


class BareClient(Client):
    """Sends an order's encoded form through the chain, and expects the same bytes back."""

    def __init__(self, setting: Setting, pass_: PassBody) -> None:
        self._encode = load_codec(setting.codec).encode
        self._pass = pass_
        self._max_bytes = setting.max_order_bytes

    async def submit(self, order: PlaceOrder) -> Receipt:
        body = self._encode(order)
        if len(body) > self._max_bytes:
            raise TooLarge(len(body), self._max_bytes)
        try:
            came, at_ns = await self._pass(order.order.order_id, body)
        except Exception as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        if came != body:
            raise Failed(f"order {order.order.order_id} came back as other bytes")
        return Receipt(at_ns, Finished(build_shipped_outcome(order), at_ns))


def _describe_chain(*, style: Style, codec: str = "json", needs: frozenset[str] = frozenset()) -> Traits:
    return Traits(
        style=style,
        accepted=Acceptance.ON_OUTCOME,
        survives=KEEPS_NOTHING,
        redelivers=False,
        ordered=False,
        concurrency="as its method's",
        codec=codec,
        codecs=frozenset({codec}),
        needs=needs,
        runs_shop=False,
    )


class BareRest(BareTransport):
    method = "rest"
    traits = _describe_chain(style=Style.CHAIN)


class BareGrpc(BareTransport):
    method = "grpc"
    traits = _describe_chain(style=Style.CHAIN, codec="protobuf")


class BareBroker(BareTransport):
    method = "broker"
    traits = _describe_chain(style=Style.PIPELINE, needs=frozenset({"rabbitmq"}))


class BareEvents(BareTransport):
    method = "events"
    traits = _describe_chain(style=Style.CHOREOGRAPHY, needs=frozenset({"kafka"}))
