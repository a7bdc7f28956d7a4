"""Tests what a service on RabbitMQ does with a delivery when it cannot publish, and when its channel is lost."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiormq.exceptions import ChannelInvalidStateError

from shop.factory import open_service
from shop.messages import Message, PlaceOrder
from tests.conftest import build_order
from tests.unit.transports.test_conflicts import DeadLetters, Delivery
from transports.backends.rabbitmq.server import DeliveryHandler
from transports.backends.rabbitmq.topology import TrialQueues
from transports.base import ServingStats, Setting
from transports.broker.routes import PIPELINE
from transports.dispatch import MessageProcessor
from transports.errors import Unreachable


class Away:
    """A publisher that RabbitMQ does not answer as long as it is told."""

    def __init__(self) -> None:
        self.is_away, self.tries = True, 0

    async def publish(self, key: str, fact: Message, reply_to: str | None) -> None:
        self.tries += 1
        if self.is_away:
            raise Unreachable("RabbitMQ is away")


class LostChannel(Delivery):
    """A delivery whose channel is lost when it is told."""

    lost = False

    def __getattribute__(self, name: str) -> Any:
        if name == "channel" and super().__getattribute__("lost"):
            raise ChannelInvalidStateError
        return super().__getattribute__(name)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.005)


def build_consumer(processor: MessageProcessor, serving: ServingStats, publisher: Away, limit_s: float) -> Any:
    setting, letters, anyone = Setting(trial="t", park_after_s=limit_s), DeadLetters(), publisher
    return DeliveryHandler(processor, serving, anyone, letters, TrialQueues(PIPELINE, setting), setting)  # type: ignore[arg-type]


async def test_a_message_waits_in_hand_until_its_fact_is_taken() -> None:
    publisher, serving, delivery = Away(), ServingStats(), Delivery(PlaceOrder(build_order()))
    async with MessageProcessor(open_service("user")) as processor:
        taking = asyncio.create_task(build_consumer(processor, serving, publisher, 60).take(delivery))
        await until(lambda: publisher.tries >= 3)
        assert delivery.ended == ""
        publisher.is_away = False
        await taking
    assert (delivery.ended, serving.handled, any(serving.dead_letters.values())) == ("ack", 1, False)


async def test_it_is_parked_after_the_limit() -> None:
    publisher, serving, delivery = Away(), ServingStats(), Delivery(PlaceOrder(build_order()))
    async with MessageProcessor(open_service("user")) as processor:
        await build_consumer(processor, serving, publisher, 0.1).take(delivery)
    assert delivery.ended == "parked"
    assert serving.dead_letters["parked"] == 1


async def test_one_whose_channel_is_lost_is_no_dead_letter_and_its_next_delivery_does_not_wait_for_it() -> None:
    publisher, serving = Away(), ServingStats()
    before, again = LostChannel(PlaceOrder(build_order())), Delivery(PlaceOrder(build_order()))
    again.channel = SimpleNamespace(is_closed=False)
    async with MessageProcessor(open_service("user")) as processor:
        consumer = build_consumer(processor, serving, publisher, 60)
        taking = asyncio.create_task(consumer.take(before))
        await until(lambda: publisher.tries >= 2)
        before.lost, publisher.is_away = True, False
        await consumer.take(again)
        await taking
    assert (before.ended, again.ended, any(serving.dead_letters.values())) == ("", "ack", False)
