"""Tests that a message with damaged properties or headers becomes a dead letter, and holds up nothing behind it."""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shop.messages import PlaceOrder
from tests.conftest import build_order
from tests.system.test_publish_errors import a_shop, until
from transports.dead_letters import UNREADABLE
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

PLAIN = b"MARKERMARK"
DAMAGED = b"\xff\xfeRKERMARK"
ORDER = load_codec("json").encode(PlaceOrder(build_order("damaged")))
TIMESTAMP = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
TIMESTAMP_BYTES = int(TIMESTAMP.timestamp()).to_bytes(8)


async def publish_raw(
    url: str, queue: str, body: bytes, properties: Mapping[str, Any], instead: Sequence[tuple[bytes, bytes]]
) -> None:
    """Publishes with a frame of properties in which bytes are replaced, as no library would send it."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)

    async def read() -> Any:
        head = await reader.readexactly(7)
        rest = await reader.readexactly(int.from_bytes(head[3:7]) + 1)
        return frame.unmarshal(head + rest)[2]

    async def ask(channel: int, *sent: Any) -> Any:
        writer.write(b"".join(one if isinstance(one, bytes) else frame.marshal(one, channel) for one in sent))
        return await read()

    await ask(0, b"AMQP\x00\x00\x09\x01")
    login = f"\0{at.username}\0{at.password}"
    tune = await ask(0, commands.Connection.StartOk(mechanism="PLAIN", response=login, client_properties={}))
    await ask(0, commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), commands.Connection.Open())
    await ask(1, commands.Channel.Open())
    await ask(1, commands.Confirm.Select())
    header = frame.marshal(ContentHeader(0, len(body), commands.Basic.Properties(**properties)), 1)
    for plain, damaged in instead:
        assert plain in header
        header = header.replace(plain, damaged)
    bodies = (ContentBody(body),) if body else ()
    confirmed = await ask(1, commands.Basic.Publish(exchange="", routing_key=queue), header, *bodies)
    assert isinstance(confirmed, commands.Basic.Ack)
    writer.close()
    await writer.wait_closed()


UTF8 = [(PLAIN, DAMAGED)]
TEXT = PLAIN.decode()
UNREADABLE_ON_RABBITMQ: Mapping[str, tuple[bytes, Mapping[str, Any], Sequence[tuple[bytes, bytes]]]] = {
    "empty body": (b"", {"message_type": "place-order"}, []),
    "cut body": (ORDER[:-20], {"message_type": "place-order", "content_type": "application/json"}, []),
    "no kind": (ORDER, {}, []),
    "kind": (ORDER, {"message_type": TEXT}, UTF8),
    "correlation id": (b"{", {"message_type": "place-order", "correlation_id": TEXT}, UTF8),
    "message id": (b"{", {"message_type": "place-order", "message_id": TEXT}, UTF8),
    "reply": (b"{", {"message_type": "place-order", "reply_to": TEXT}, UTF8),
    "content type": (b"{", {"message_type": "place-order", "content_type": TEXT}, UTF8),
    "name of a header": (b"{", {"message_type": "place-order", "headers": {TEXT: 1}}, UTF8),
    "value of a header": (b"{", {"message_type": "place-order", "headers": {"a": TEXT, "b": [TEXT]}}, UTF8),
    "types of headers": (b"{", {"message_type": "place-order", "headers": {"reason": 5, "source": {"a": [None]}}}, []),
    "large header": (b"{", {"message_type": "place-order", "headers": {"a": "x" * 120_000}}, []),
    "time": (b"{", {"message_type": "place-order", "timestamp": TIMESTAMP}, [(TIMESTAMP_BYTES, b"\x7f" + b"\xff" * 7)]),
}


@pytest.mark.parametrize("what", UNREADABLE_ON_RABBITMQ)
async def test_on_rabbitmq_a_damaged_message_is_a_dead_letter_with_its_reason(
    servers: Mapping[str, str], what: str
) -> None:
    body, properties, instead = UNREADABLE_ON_RABBITMQ[what]
    async with a_shop("broker", "rabbitmq", servers) as shop:
        await publish_raw(servers["rabbitmq"], f"{shop.transport.setting.trial}.user", body, properties, instead)
        await until(lambda: shop.serving["user"].dead_letters[UNREADABLE] == 1)
        await shop.ship("after")
        letters = (await shop.transport.read_dead_letters(10)).letters
        assert [(letter.reason, letter.body) for letter in letters] == [(UNREADABLE, body)]
        assert sum(sum(serving.dead_letters.values()) for serving in shop.serving.values()) == 1


async def test_on_rabbitmq_an_order_whose_time_alone_is_damaged_is_carried_on(servers: Mapping[str, str]) -> None:
    async with a_shop("broker", "rabbitmq", servers) as shop:
        properties = {"message_type": "place-order", "timestamp": TIMESTAMP, "correlation_id": TEXT}
        instead = [(TIMESTAMP_BYTES, b"\x7f" + b"\xff" * 7), *UTF8]
        await publish_raw(servers["rabbitmq"], f"{shop.transport.setting.trial}.user", ORDER, properties, instead)
        await until(lambda: "shipped" in shop.services["user"].audit())
        assert not any(any(serving.dead_letters.values()) for serving in shop.serving.values())


Headers = list[tuple[str, bytes | None]]
UNREADABLE_ON_KAFKA: Mapping[str, tuple[bytes | None, Headers]] = {
    "no body": (None, []),
    "empty body": (b"", []),
    "cut body": (ORDER[:-20], [("kind", b"place-order")]),
    "flipped body": (bytes([ORDER[0] ^ 1]) + ORDER[1:], [("kind", b"place-order")]),
    "no kind": (ORDER, []),
    "kind": (ORDER, [("kind", DAMAGED)]),
    "no value of the kind": (ORDER, [("kind", None)]),
    "large header": (b"{", [("kind", b"place-order"), ("a", b"x" * 900_000)]),
    "many headers": (b"{", [("kind", b"place-order"), *((f"h{n}", b"") for n in range(2_000))]),
    "our headers": (b"{", [("kind", b"place-order"), ("reason", b"\xff"), ("source", None), ("reply", DAMAGED)]),
}


async def produce_raw(url: str, topic: str, *records: tuple[bytes | None, Headers]) -> None:
    """Sends records in a batch whose bytes are replaced, as no library would send it."""
    async with AIOKafkaProducer(
        bootstrap_servers=url, max_request_size=2_000_000, max_batch_size=2_000_000
    ) as producer:
        batch = producer.create_batch()
        for body, headers in records:
            assert batch.append(key=b"\xff\x00", value=body, timestamp=None, headers=headers)
        content = bytearray(batch._build().replace(PLAIN, DAMAGED))
        content[17:21] = calc_crc32c(bytes(content[21:])).to_bytes(4)
        batch._buffer = content
        await (await producer.send_batch(batch, topic, partition=0))


@pytest.mark.parametrize("client", ["aiokafka", "confluent"])
@pytest.mark.parametrize("what", UNREADABLE_ON_KAFKA)
async def test_on_kafka_a_damaged_record_is_a_dead_letter_with_its_reason(
    servers: Mapping[str, str], what: str, client: str
) -> None:
    body, headers = UNREADABLE_ON_KAFKA[what]
    async with a_shop("broker", "kafka", servers, options={"client": client}) as shop:
        await produce_raw(servers["kafka"], f"{shop.transport.setting.trial}.user", (body, headers))
        await until(lambda: shop.serving["user"].dead_letters[UNREADABLE] == 1)
        await shop.ship("after")
        letters = (await shop.transport.read_dead_letters(10)).letters
        assert [(letter.reason, letter.body) for letter in letters] == [(UNREADABLE, body or b"")]
        assert sum(sum(serving.dead_letters.values()) for serving in shop.serving.values()) == 1


@pytest.mark.parametrize("client", ["aiokafka", "confluent"])
async def test_on_kafka_a_header_whose_name_is_damaged_makes_a_dead_letter(
    servers: Mapping[str, str], client: str
) -> None:
    """aiokafka gives out nothing that is behind it in its batch, and librdkafka nothing of its headers."""
    kind: Headers = [("kind", b"place-order")]
    good, bad = (load_codec("json").encode(PlaceOrder(build_order(name))) for name in ("good", "bad"))
    async with a_shop("broker", "kafka", servers, options={"client": client}) as shop:
        topic = f"{shop.transport.setting.trial}.user"
        await produce_raw(servers["kafka"], topic, (good, kind), (bad, [*kind, (TEXT, b"1")]))
        await produce_raw(servers["kafka"], topic, (bad, [*kind, (TEXT, b"1")]))
        await until(lambda: shop.serving["user"].dead_letters[UNREADABLE] == 2)
        await shop.ship("after")
        assert shop.services["user"].audit()["order-placed"].count == 2
        letters = (await shop.transport.read_dead_letters(10)).letters
        places = [f"{topic}/0/1", f"{topic}/0/2"] if client == "aiokafka" else [topic] * 2
        assert [(letter.reason, letter.source) for letter in letters] == [(UNREADABLE, place) for place in places]
