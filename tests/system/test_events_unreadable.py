"""Tests that unreadable or oversized Kafka records do not end a service.

A service that such a record ended would take the next process of its group with it, which gets the record again.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from shop.messages import PlaceOrder, StockReserved
from shop.workflow import SERVICES
from tests.conftest import build_order
from tests.system.kafka_trial import (
    JSON,
    build_transport,
    read_records,
    run_kafka_trial,
    start_producer,
    wait_until,
)
from transports.dead_letters import FAILED, REASON_HEADER, SOURCE_HEADER, UNREADABLE

pytestmark = [pytest.mark.slow, pytest.mark.broker]


def said(reason: str, topic: str) -> list[tuple[str, bytes]]:
    """Returns the headers that a service adds to a dead letter."""
    return [(REASON_HEADER, reason.encode()), (SOURCE_HEADER, topic.encode())]


@pytest.mark.parametrize(
    "body", [b"\xff\x00garbage", b"{}", b"", None], ids=["garbage", "no order", "empty", "tombstone"]
)
async def test_what_cannot_be_read_goes_to_the_dead_letter_topic_and_the_service_goes_on(
    servers: Mapping[str, str], body: bytes | None
) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.publish("place-order", body, key=b"mine", headers=[("from", b"afar")])
        (dead,) = await trial.records("unreadable", 1)
        headers = [("from", b"afar"), *said(UNREADABLE, f"{trial.name}.place-order")]
        assert (dead.value or b"", dead.key, list(dead.headers)) == (body or b"", b"mine", headers)
        assert trial.serving["user"].unreadable == 1
        await trial.ship_order()
        assert trial.serving["user"].unreadable == 1


async def test_unreadable_among_readable_spoils_none_of_them(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, serve=()) as trial:
        receipts = []
        for number in range(6):
            receipts.append(await trial.client.submit(PlaceOrder(build_order(f"o{number}"))))
            await trial.publish("place-order", b"garbage", key=f"o{number}".encode())
        transport = build_transport(servers, trial=trial.name)
        async with AsyncExitStack() as stack:
            serving = [await stack.enter_async_context(transport.serve(trial.services[name])) for name in SERVICES]
            finished = await asyncio.wait_for(asyncio.gather(*(r.finished for r in receipts)), 15)
            assert [f.outcome.order.order_id for f in finished] == [f"o{number}" for number in range(6)]
            await wait_until(lambda: serving[0].unreadable == 6)
        assert len(await trial.records("unreadable", 6)) == 6


async def test_an_order_that_outgrows_the_limit_is_a_dead_letter_and_counted_as_failed(
    servers: Mapping[str, str],
) -> None:
    async with run_kafka_trial(servers, max_message_bytes=16_384) as trial:
        bare = len(JSON.encode(PlaceOrder(build_order(address=""))))
        body = JSON.encode(PlaceOrder(build_order(address="x" * (16_384 - bare))))
        assert len(body) == 16_384  # the fact that follows is larger
        await trial.publish("place-order", body, key=b"order-1")
        (dead,) = await trial.records("unreadable", 1)
        assert dead.value == body
        assert (trial.serving["user"].failed, trial.serving["user"].unreadable) == (1, 0)
        await trial.ship_order()


@pytest.mark.parametrize(
    "partition", [b"99", b"-1", None, b"9" * 5_000], ids=["not there", "negative", "null", "endless"]
)
async def test_a_reply_partition_that_is_none_does_not_end_the_service(
    servers: Mapping[str, str], partition: bytes | None
) -> None:
    async with run_kafka_trial(servers) as trial:
        body = JSON.encode(PlaceOrder(build_order("odd")))
        await trial.publish("place-order", body, key=b"odd", headers=[("reply", partition)])
        (closed,) = await trial.records("order-closed", 1)
        assert closed.key == b"odd"
        await trial.ship_order()


async def test_a_message_nested_without_end_does_not_end_the_service(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.publish("place-order", b'{"x":' + b"[" * 100_000, key=b"deep")
        await trial.records("unreadable", 1)
        assert trial.serving["user"].unreadable == 1
        await trial.ship_order()


BARELY_BYTES = 20_440
"""Of a record that is allowed at a limit of 16,384 as long as it is compressed: with what is around it, it is not."""


def padded(size_bytes: int) -> bytes:
    """A fact of this size."""
    bare = len(JSON.encode(StockReserved(build_order(address=""), 1)))
    return JSON.encode(StockReserved(build_order(address="z" * (size_bytes - bare)), 1))


@pytest.mark.parametrize(
    ("body", "headers", "counted"),
    [
        (b"z" * BARELY_BYTES, [], (1, 0)),
        (padded(BARELY_BYTES), [], (0, 1)),
        (padded(1_000), [("note", b"z" * (BARELY_BYTES - 1_020))], (0, 1)),
    ],
    ids=["unreadable", "readable", "headers"],
)
async def test_a_record_that_was_small_only_compressed_does_not_end_the_service(
    servers: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    headers: list[tuple[str, bytes]],
    counted: tuple[int, int],
) -> None:
    """Too large for a dead letter as it is, so that the dead letter says where it lies."""
    async with run_kafka_trial(servers, max_message_bytes=16_384, compression="gzip") as trial:
        topic = f"{trial.name}.stock-reserved"
        async with start_producer(servers, compression_type="gzip") as zipping:
            await zipping.send_and_wait(topic, body, key=b"large", headers=headers)
        (dead,) = await trial.records("unreadable", 1)
        headers = [("lies-at", f"{topic}/0/0".encode()), *said(UNREADABLE if counted[0] else FAILED, topic)]
        assert (dead.key, dead.value, list(dead.headers)) == (None, b"", headers)
        (large,) = await read_records(servers, topic, 1)
        assert (large.key, large.value) == (b"large", body)
        serving = trial.serving["payment"]
        assert (serving.unreadable, serving.failed, serving.handled) == (*counted, 0)
        assert f"it lies at {topic}/0/0" in caplog.text
        await trial.ship_order()


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4", "snappy"])
async def test_a_batch_that_would_inflate_beyond_the_limit_is_left_out_and_what_is_around_it_is_not(
    servers: Mapping[str, str], compression: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_kafka_trial(servers, max_message_bytes=16_384, compression=compression) as trial:
        topic, paid = f"{trial.name}.stock-reserved", trial.services["payment"]
        async with start_producer(servers, compression_type=compression, max_request_size=2**26) as zipping:
            for number, body in enumerate((padded(1_000), bytes(2**17), padded(1_000), bytes(2**16), padded(1_000))):
                await zipping.send_and_wait(topic, body, key=f"order-{number}".encode())
        dead = await trial.records("unreadable", 2)
        assert [list(letter.headers) for letter in dead] == [
            [("lies-at", f"{topic}/0/1".encode()), *said(UNREADABLE, topic)],
            [("lies-at", f"{topic}/0/3".encode()), *said(UNREADABLE, topic)],
        ]
        assert trial.serving["payment"].unreadable == 2
        assert "over the limit when it is inflated" in caplog.text
        await trial.ship_order()
        assert trial.serving["payment"].handled == 4
        assert paid.audit()["payment-taken"].count == 2  # three facts of one order, and the order after them


async def test_an_outcome_that_would_inflate_beyond_the_limit_keeps_nobody_from_hearing_the_next(
    servers: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with run_kafka_trial(servers, max_message_bytes=16_384, compression="gzip") as trial:
        async with start_producer(servers, compression_type="gzip", max_request_size=2**26) as zipping:
            await zipping.send_and_wait(f"{trial.name}.order-closed", bytes(2**17), key=b"bomb")
        await trial.ship_order()
        assert f"an outcome is over the limit when it is inflated: {trial.name}.order-closed/0/0" in caplog.text


async def test_a_batch_that_would_inflate_without_end_is_refused_by_the_broker(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, max_message_bytes=16_384) as trial:
        async with start_producer(servers, compression_type="gzip", max_request_size=2**26) as zipping:
            with pytest.raises(MessageSizeTooLargeError):
                await zipping.send_and_wait(f"{trial.name}.stock-reserved", bytes(2**24), key=b"bomb")
        await trial.ship_order()
        assert trial.serving["payment"].unreadable == 0
