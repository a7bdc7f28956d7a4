"""Fuzzes every transport with broken bodies in every codec: the next order must ship."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import aio_pika
import aiohttp
import grpc
import pytest
from aiokafka import AIOKafkaProducer
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bench.calibration.schema_evolution import NEWER_ENCODERS, encode_newer_avro
from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, PlaceOrder
from shop.workflow import SERVICES
from tests.conftest import build_order
from tests.system.test_processes import a_setting
from transports.base import Client, ServingStats, Setting
from transports.errors import Unreadable
from transports.grpc.methods import METHODS
from transports.registry import load_transport
from transports.wire import list_codecs, load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

PATIENCE_S = 60
BODIES = 40
LIMIT_BYTES = 64 * 1024
TRANSPORTS = ("rest", "grpc", "broker", "events")
ANSWERS = {
    "rest": {"200", "400", "413", "422"},
    "grpc": {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS"},
}
"""What a chain may say to any body: never that it failed itself. 422 and ALREADY_EXISTS: the id had other content."""
_trials = count()

Edit = tuple[str, int, int, bytes]


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """How a body is damaged: what is done to it, where and for how long as shares of a thousand, and with what."""
    kind = draw(st.sampled_from(("cut", "flip", "splice", "insert", "instead")))
    return kind, draw(st.integers(0, 999)), draw(st.integers(0, 999)), draw(st.binary(min_size=1, max_size=20))


def damaged(body: bytes, edit: Edit) -> bytes:
    kind, place, share, noise = edit
    at, length = len(body) * place // 1000, len(body) * share // 1000
    match kind:
        case "cut":
            return body[:at]
        case "flip":
            return body[:at] + bytes([body[at] ^ noise[0] or 1]) + body[at + 1 :]
        case "splice":
            return body[:at] + body[length:]
        case "insert":
            return body[:at] + noise + body[at:]
        case _:
            return noise


@asynccontextmanager
async def sending(transport: str, setting: Setting) -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """``await send(body)`` hands a body to the user service as it is, and gives what a chain says to it."""
    codec = load_codec(setting.codec)
    async with AsyncExitStack() as stack:
        match transport:
            case "rest":
                session = await stack.enter_async_context(aiohttp.ClientSession())
                url = f"http://{setting.addresses['user']}/place-order"

                async def send(body: bytes) -> str:
                    async with session.post(url, data=body, headers={"content-type": codec.content_type}) as answer:
                        return str(answer.status)

            case "grpc":
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(setting.addresses["user"]))
                ask = channel.unary_unary(METHODS["user"].path, None, None)

                async def send(body: bytes) -> str:
                    try:
                        await ask(body)
                    except grpc.aio.AioRpcError as error:
                        return error.code().name
                    return "OK"

            case "broker":
                connection = await stack.enter_async_context(await aio_pika.connect(setting.servers["rabbitmq"]))
                exchange = (await connection.channel()).default_exchange

                async def send(body: bytes) -> str:
                    message = aio_pika.Message(body, type="place-order", correlation_id="any")
                    await exchange.publish(message, f"{setting.trial}.user")
                    return ""

            case _:
                producer = AIOKafkaProducer(bootstrap_servers=setting.servers["kafka"])
                await producer.start()
                stack.push_async_callback(producer.stop)

                async def send(body: bytes) -> str:
                    await producer.send_and_wait(f"{setting.trial}.place-order", body, key=b"any")
                    return ""

        yield send


@asynccontextmanager
async def a_shop(
    transport: str, codec: str, servers: Mapping[str, str]
) -> AsyncIterator[tuple[Callable[[bytes], Awaitable[str]], Client, dict[str, ServingStats]]]:
    plain = a_setting(f"fuzz-{transport}-{codec}-{next(_trials)}", servers)
    setting = Setting(
        trial=plain.trial, addresses=plain.addresses, servers=servers, codec=codec, max_message_bytes=LIMIT_BYTES
    )
    method = load_transport(transport)(setting)
    await method.prepare()
    try:
        async with AsyncExitStack() as stack:
            serving = {
                name: await stack.enter_async_context(method.serve(open_service(name))) for name in reversed(SERVICES)
            }
            client = await stack.enter_async_context(method.connect())
            yield await stack.enter_async_context(sending(transport, setting)), client, serving
    finally:
        await method.remove()


async def ships(client: Client, order_id: str) -> None:
    receipt = await client.submit(PlaceOrder(build_order(order_id)))
    assert (await receipt.finished).outcome.status == "shipped"


def is_unreadable(codec: str, body: bytes) -> bool:
    try:
        load_codec(codec).decode(KIND_BY_TYPE[PlaceOrder], body)
    except Unreadable:
        return True
    return False


@pytest.mark.parametrize("codec", list_codecs())
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_body_ends_a_service_or_holds_up_the_next_order(
    transport: str, codec: str, servers: Mapping[str, str]
) -> None:
    whole = load_codec(codec).encode(PlaceOrder(build_order("fuzzed")))

    @settings(max_examples=3, deadline=None, database=None, phases=[Phase.generate])
    @given(st.lists(edits(), min_size=BODIES, max_size=BODIES))
    def fuzz(damages: list[Edit]) -> None:
        async def course() -> None:
            async with a_shop(transport, codec, servers) as (send, client, serving), asyncio.timeout(PATIENCE_S):
                bodies = [damaged(whole, edit) for edit in damages]
                said = {await send(body) for body in bodies}
                assert said <= ANSWERS.get(transport, {""})
                await ships(client, "after")
                user = serving["user"]
                wanted = sum(is_unreadable(codec, body) for body in bodies)
                while user.unreadable < wanted:  # noqa: ASYNC110 - on another partition than "after"
                    await asyncio.sleep(0.01)
                assert user.unreadable == wanted > 0

        asyncio.run(course())

    fuzz()


@pytest.mark.parametrize("codec", ["json", "msgpack", "protobuf"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_service_of_today_takes_an_order_with_a_field_that_it_does_not_know(
    transport: str, codec: str, servers: Mapping[str, str]
) -> None:
    body = NEWER_ENCODERS[codec](PlaceOrder(build_order("newer")))
    async with a_shop(transport, codec, servers) as (send, client, serving), asyncio.timeout(PATIENCE_S):
        assert await send(body) in ("200", "OK", "")
        await ships(client, "after")
        assert {name: service.unreadable for name, service in serving.items()} == dict.fromkeys(SERVICES, 0)
        while serving["shipping"].handled < 2:  # noqa: ASYNC110 - both orders go through all of them
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_in_avro_it_refuses_one_whose_schema_it_does_not_know_and_goes_on(
    transport: str, servers: Mapping[str, str]
) -> None:
    async with a_shop(transport, "avro", servers) as (send, client, serving), asyncio.timeout(PATIENCE_S):
        assert await send(encode_newer_avro(PlaceOrder(build_order("newer")))) in ("400", "INVALID_ARGUMENT", "")
        await ships(client, "after")
        assert serving["user"].unreadable == 1
        while serving["shipping"].handled < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
