"""Tests the events method on Kafka, inspected with plain aiokafka."""

import asyncio
import gc
import json
import os
import signal
import warnings
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from bench.provision.services import run_services
from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, PlaceOrder, StockReserved
from shop.shipping import build_tracking_number
from shop.workflow import SERVICES, list_consumed_types
from tests.conftest import build_order
from tests.system.kafka_trial import (
    JSON,
    TRIAL_NAMES,
    build_transport,
    list_trial_groups,
    list_trial_topics,
    read_committed_offsets,
    read_end_offsets,
    read_records,
    read_topic_config,
    run_kafka_trial,
    start_admin_client,
    start_producer,
    wait_until,
    wait_until_async,
)
from transports.base import Setting
from transports.dead_letters import PARKED
from transports.errors import NotAccepted, TooLarge, Unreachable
from transports.events import EventsTransport

pytestmark = [pytest.mark.slow, pytest.mark.broker]


# Topics, groups, offsets


async def test_topics_are_there_during_a_trial_and_gone_after(servers: Mapping[str, str]) -> None:
    transport = build_transport(servers, workers=3)
    trial = transport.setting.trial
    assert await list_trial_topics(servers, trial) == set()
    await transport.prepare()
    expected = {f"{trial}.{kind}" for kind in KIND_BY_TYPE.values()} | {f"{trial}.unreadable"}
    assert await list_trial_topics(servers, trial) == expected
    async with start_admin_client(servers) as admin:
        described = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(sorted(expected))}
    assert described == dict.fromkeys(expected, 1) | {f"{trial}.order-closed": 3}
    await transport.remove()
    await wait_until_async(lambda: _none(list_trial_topics(servers, trial)))


async def test_topics_are_waited_for_until_the_broker_knows_them(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, list_topics = build_transport(servers), AIOKafkaAdminClient.list_topics
    unheard = [True, True]

    async def later(admin: AIOKafkaAdminClient) -> list[str]:
        if unheard:
            unheard.pop()
            return []
        return list(await list_topics(admin))

    monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", later)
    await transport.prepare()
    assert unheard == []
    await transport.remove()


async def test_topics_of_which_the_broker_never_hears_are_a_sentence(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(admin: AIOKafkaAdminClient) -> list[str]:
        return []

    transport = build_transport(servers, deadline_s=0.1)
    monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", never)
    with pytest.raises(Unreachable, match=r"did not show the trial's topics within 0\.1 s"):
        await transport.prepare()
    await transport.remove()


async def _none(found: Any) -> bool:
    return not await found


async def test_there_is_a_group_per_service_during_a_trial_and_none_after(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.ship_order()
        assert await list_trial_groups(servers, trial.name) == {f"{trial.name}.{service}" for service in SERVICES}
    await wait_until_async(lambda: _none(list_trial_groups(servers, trial.name)))


async def test_offsets_are_committed_to_the_end_of_every_topic(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await asyncio.gather(*(trial.ship_order(f"o{number}") for number in range(30)))
        await trial.publish("place-order", b"garbage")
        await wait_until(lambda: trial.serving["user"].unreadable == 1)
        for service in SERVICES:
            topics = [f"{trial.name}.{KIND_BY_TYPE[message]}" for message in list_consumed_types(service)]
            wanted = {topic: end for topic, end in (await read_end_offsets(servers, topics)).items() if end}
            assert sum(wanted.values()) >= 30

            async def reached(service: str = service, wanted: dict[str, int] = wanted) -> bool:
                return await read_committed_offsets(servers, f"{trial.name}.{service}") == wanted

            await wait_until_async(reached)


async def test_what_was_consumed_can_be_read_again_from_the_beginning_by_others(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.ship_order("first")
        await wait_until_async(lambda: _all_committed(servers, trial.name))
        for _ in range(2):
            (record,) = await trial.records("place-order", 1)
            assert JSON.decode("place-order", record.value) == PlaceOrder(build_order("first"))


async def _all_committed(servers: Mapping[str, str], trial: str) -> bool:
    topic = f"{trial}.place-order"
    return (await read_committed_offsets(servers, f"{trial}.user")).get(topic) == (
        await read_end_offsets(servers, [topic])
    )[topic]


async def test_offsets_are_committed_when_a_service_stops(servers: Mapping[str, str]) -> None:
    transport = build_transport(servers)
    await transport.prepare()
    async with transport.connect() as client:
        for number in range(20):
            await client.submit(PlaceOrder(build_order(f"o{number}")))
        user = open_service("user")
        async with transport.serve(user):
            await wait_until(lambda: user.balance() == {"open": 20})
    trial = transport.setting.trial
    assert await read_committed_offsets(servers, f"{trial}.user") == {f"{trial}.place-order": 20}
    assert await read_end_offsets(servers, [f"{trial}.order-placed"]) == {f"{trial}.order-placed": 20}
    await transport.remove()


async def test_facts_carry_the_order_id_as_their_key_and_the_headers_along(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.ship_order("keyed")
        for kind in ("place-order", "order-placed", "stock-reserved", "payment-taken", "order-shipped", "order-closed"):
            (record,) = await trial.records(kind, 1)
            assert (record.key, list(record.headers)) == (b"keyed", [("reply", b"0")])
            assert json.loads(record.value)["order"]["order_id"] == "keyed"


async def test_safe_topics_are_flushed_with_every_record(servers: Mapping[str, str]) -> None:
    for durability, flush in (("safe", "1"), ("fast", str(2**63 - 1))):
        transport = build_transport(servers, durability=durability)
        await transport.prepare()
        settings = await read_topic_config(servers, f"{transport.setting.trial}.order-placed")
        await transport.remove()
        assert settings["flush.messages"] == flush


async def test_two_trials_side_by_side_do_not_meet(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as one, run_kafka_trial(servers) as other:
        await asyncio.gather(
            *(one.ship_order(f"one-{n}") for n in range(5)), *(other.ship_order(f"other-{n}") for n in range(3))
        )
        assert one.services["shipping"].audit()["order-shipped"].count == 5
        assert other.services["shipping"].audit()["order-shipped"].count == 3
        assert one.client.duplicated == other.client.duplicated == 0


async def test_an_outcome_goes_to_the_partition_that_the_header_names(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, workers=2) as trial:
        body = JSON.encode(PlaceOrder(build_order("theirs")))
        await trial.publish("place-order", body, key=b"theirs", headers=[("reply", b"1")])
        (record,) = await read_records(servers, f"{trial.name}.order-closed", 1, partition=1)
        closed = json.loads(record.value)
        assert (closed["status"], closed["tracking_number"]) == ("shipped", build_tracking_number("theirs"))
        assert trial.client.duplicated == 0


async def test_an_order_that_names_no_partition_is_answered_on_the_first(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, workers=2) as trial:
        await trial.publish("place-order", JSON.encode(PlaceOrder(build_order("bare"))))
        (record,) = await read_records(servers, f"{trial.name}.order-closed", 1, partition=0)
        assert json.loads(record.value)["order"]["order_id"] == "bare"


async def test_two_load_processes_hear_their_own_outcomes_only(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, workers=2) as trial:
        second = build_transport(servers, trial=trial.name, workers=2, worker=1)
        async with second.connect() as other:
            receipt = await other.submit(PlaceOrder(build_order("from-1")))
            assert (await asyncio.wait_for(receipt.finished, 15)).outcome.order.order_id == "from-1"
            await trial.ship_order("from-0")
            assert other.duplicated == trial.client.duplicated == 0


async def test_an_outcome_told_twice_is_counted_as_duplicated(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers) as trial:
        await trial.ship_order("twice")
        (record,) = await trial.records("order-closed", 1)
        await trial.publish("order-closed", record.value, key=record.key, partition=0)
        await wait_until(lambda: trial.client.duplicated == 1)
        await trial.ship_order()
        assert trial.client.duplicated == 1


@pytest.mark.parametrize("client", ["aiokafka", "confluent"])
async def test_a_message_whose_fact_has_no_topic_for_too_long_is_parked_and_committed(
    client: str, servers: Mapping[str, str]
) -> None:
    transport = build_transport(servers, deadline_s=1.0, park_after_s=0.1, options={"client": client})
    await transport.prepare()
    trial = transport.setting.trial
    try:
        async with start_admin_client(servers) as admin:
            facts = f"{trial}.payment-taken"

            async def forgotten() -> bool:
                return facts not in await admin.list_topics()

            await admin.delete_topics([facts])
            # The controller answers up to 60 ms before its broker has forgotten a topic, which takes facts until then.
            await wait_until_async(forgotten)
        async with start_producer(servers) as foreign:
            body = JSON.encode(StockReserved(build_order(), 1))
            await foreign.send_and_wait(f"{trial}.stock-reserved", body, key=b"order-1")
        async with asyncio.timeout(60), transport.serve(open_service("payment")) as serving:
            await wait_until(lambda: serving.dead_letters[PARKED] == 1, within_s=45)
        assert await read_committed_offsets(servers, f"{trial}.payment") == {f"{trial}.stock-reserved": 1}
        letters = (await transport.read_dead_letters(10)).letters
        assert [(letter.reason, letter.kind) for letter in letters] == [(PARKED, "stock-reserved")]
    finally:
        await transport.remove()


# Refusals


async def test_an_order_over_the_limit_is_refused_and_the_client_stays_usable(servers: Mapping[str, str]) -> None:
    async with run_kafka_trial(servers, max_message_bytes=16_384) as trial:
        bare = len(JSON.encode(PlaceOrder(build_order(address=""))))
        with pytest.raises(TooLarge, match="of 12,289 bytes is over the limit of 12,288 bytes"):
            await trial.client.submit(PlaceOrder(build_order("order-0", address="x" * (12_289 - bare))))
        receipt = await trial.client.submit(PlaceOrder(build_order("order-2", address="x" * (12_288 - bare))))
        assert (await asyncio.wait_for(receipt.finished, 15)).outcome.status == "shipped"
        assert await read_end_offsets(servers, [f"{trial.name}.unreadable"]) == {f"{trial.name}.unreadable": 0}


async def test_many_orders_at_once_are_taken_also_under_a_low_limit(servers: Mapping[str, str]) -> None:
    """Kafka's limit is one of a batch, and what gathers while a request is on its way is more than one order."""
    async with run_kafka_trial(servers, max_message_bytes=16_384) as trial:
        orders = [PlaceOrder(build_order(f"o{number}", address="x" * 1_000)) for number in range(100)]
        receipts = await asyncio.gather(*(trial.client.submit(order) for order in orders))
        finished = await asyncio.wait_for(asyncio.gather(*(r.finished for r in receipts)), 15)
        assert {f.outcome.status for f in finished} == {"shipped"}


async def test_a_topic_that_cannot_be_is_refused_with_its_name(servers: Mapping[str, str]) -> None:
    with pytest.raises(NotAccepted, match=r"Kafka refused topic .*no good"):
        await build_transport(servers, trial="no good").prepare()


async def test_kafka_that_is_not_there_is_a_sentence() -> None:
    transport = EventsTransport(Setting(trial="t", servers={"kafka": "127.0.0.1:1"}, deadline_s=3))
    for doing in (transport.prepare(), transport.remove()):
        with pytest.raises(Unreachable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
            await doing


# Redelivery


async def test_what_was_handled_and_not_committed_comes_again_and_has_one_effect(servers: Mapping[str, str]) -> None:
    """A foreign consumer stands for a payment service that died between its fact and its commit."""
    async with run_kafka_trial(servers, serve=("user", "product", "shipping")) as trial:
        receipt = await trial.client.submit(PlaceOrder(build_order("again")))
        payment = trial.services["payment"]
        (record,) = await trial.records("stock-reserved", 1)
        fact = payment.handle(JSON.decode("stock-reserved", record.value))
        await trial.publish("payment-taken", JSON.encode(fact), key=record.key, headers=list(record.headers))
        await asyncio.wait_for(receipt.finished, 15)
        async with build_transport(servers, trial=trial.name).serve(payment) as serving:
            await wait_until(lambda: trial.client.duplicated == 1)
            assert serving.handled == 1
        assert payment.audit()["payment-taken"].count == 1
        assert payment.balance() == {"taken_cents": fact.total_cents}
        assert trial.services["shipping"].audit()["order-shipped"].count == 1
        assert trial.services["user"].audit()["shipped"].count == 1


async def test_services_killed_in_the_middle_lose_nothing_and_do_nothing_twice(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    """Over SQLite, so that the next process knows what the killed one had decided."""
    setting = Setting(trial=next(TRIAL_NAMES), servers=servers, durability="safe")
    transport = EventsTransport(setting)
    await transport.prepare()
    try:
        async with transport.connect() as client:
            receipts = []
            async with run_services(
                "events", setting, folder=tmp_path, logs=tmp_path / "logs", store_folder=tmp_path
            ) as running:
                for number in range(200):
                    receipts.append(await client.submit(PlaceOrder(build_order(f"o{number}"))))
                os.kill(running["payment"].pid, signal.SIGKILL)
                os.kill(running["product"].pid, signal.SIGKILL)
            async with run_services(
                "events", setting, folder=tmp_path, logs=tmp_path / "logs", store_folder=tmp_path
            ) as running:
                finished = await asyncio.wait_for(asyncio.gather(*(r.finished for r in receipts)), 45)
                books = {name: (await service.audit()) for name, service in running.items()}
    finally:
        await transport.remove()
    assert {f.outcome.status for f in finished} == {"shipped"}
    counts = {name: {fact: tally["count"] for fact, tally in b["tallies"].items()} for name, b in books.items()}
    assert counts == {
        "user": {"order-placed": 200, "shipped": 200},
        "product": {"stock-reserved": 200},
        "payment": {"payment-taken": 200},
        "shipping": {"order-shipped": 200},
    }
    assert books["payment"]["balance"]["taken_cents"] == sum(f.outcome.total_cents for f in finished)


@pytest.mark.parametrize("client", ["aiokafka", "confluent"])
async def test_a_service_killed_between_two_commits_is_given_again_what_it_had_done_and_does_it_once(
    client: str, servers: Mapping[str, str], tmp_path: Path
) -> None:
    options = {"client": client, "commit_interval_ms": 600_000}
    setting = Setting(trial=next(TRIAL_NAMES), servers=servers, options=options)
    transport, group = EventsTransport(setting), f"{setting.trial}.payment"
    await transport.prepare()
    try:
        async with (
            run_services("events", setting, folder=tmp_path, logs=tmp_path / "logs", store_folder=tmp_path) as running,
            transport.connect() as buyer,
            asyncio.timeout(60),
        ):

            async def ship(order_id: str) -> None:
                receipt = await buyer.submit(PlaceOrder(build_order(order_id)))
                assert (await receipt.finished).outcome.status == "shipped"

            # The first batch is committed at once, and then the interval begins.
            await ship("first")
            committed = {f"{setting.trial}.stock-reserved": 1}
            await wait_until_async(lambda: _is(read_committed_offsets(servers, group), committed))
            await asyncio.gather(*(ship(f"o{number}") for number in range(20)))
            await running["payment"].kill()
            assert await read_committed_offsets(servers, group) == committed
            await running["payment"].start()
            await wait_until(lambda: buyer.duplicated == 20, within_s=30)
            books = {name: await service.audit() for name, service in running.items()}
        assert books["payment"]["repeated"] == 20
        assert books["payment"]["tallies"]["payment-taken"]["count"] == 21
        assert books["shipping"]["tallies"]["order-shipped"]["count"] == 21
        # Stopped in order, each service has committed to the end.
        assert await read_committed_offsets(servers, group) == {f"{setting.trial}.stock-reserved": 21}
    finally:
        await transport.remove()


async def _is(asked: Awaitable[Any], wanted: Any) -> bool:
    return bool(await asked == wanted)


# Found wanting


@pytest.mark.parametrize("side", ["connect", "serve"])
async def test_without_kafka_nothing_is_left_unclosed(side: str, caplog: pytest.LogCaptureFixture) -> None:
    """aiokafka complains aloud of a consumer that was made and never stopped, beside our one sentence."""
    transport = EventsTransport(Setting(trial="t", servers={"kafka": "127.0.0.1:1"}, deadline_s=3))
    with pytest.raises(Unreachable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
        async with transport.connect() if side == "connect" else transport.serve(open_service("user")):
            pytest.fail("connected")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    assert "Unclosed" not in caplog.text
