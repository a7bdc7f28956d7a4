"""Tests which processes are routed through the fault proxy."""

import pytest

from bench.profile.fault import Fault
from bench.provision.base import Broker
from bench.trial.proxy_routes import BUYER, ProxyRoutes
from shop.workflow import SERVICES
from transports.base import Setting

ADDRESSES = {name: f"127.0.0.1:{20_000 + number}" for number, name in enumerate(SERVICES)}
CUT = Fault(action="cut", part="payment", at_s=1, for_s=1)
STOP = Fault(action="stop", part="payment", at_s=1, for_s=1)
RABBIT = Broker("rabbitmq", "amqp://guest:guest@127.0.0.1:5672/", "native", "", near="127.0.0.1:5672")
KAFKA = Broker("kafka", "127.0.0.1:9092", "native", "", near="127.0.0.1:9093")
SERVERS = {broker.name: broker.url for broker in (RABBIT, KAFKA)}
SETTING = Setting(trial="t", addresses=ADDRESSES, servers=SERVERS)


def test_in_a_chain_whoever_asks_the_part_goes_through_the_network() -> None:
    links = ProxyRoutes(CUT, SETTING, ())
    payment = ADDRESSES["payment"]
    assert links.addresses == (payment,)
    for who in (BUYER, "user", "product", "shipping"):
        assert links.seen_by(who).addresses == {**ADDRESSES, "payment": payment.replace("127.0.0.1", "127.0.0.2")}
    assert links.seen_by("payment") == SETTING


def test_every_process_of_the_part_is_reached_through_the_network() -> None:
    two = Setting(trial="t", addresses={**ADDRESSES, "payment": "127.0.0.1:1,127.0.0.1:2"}, processes=2)
    links = ProxyRoutes(CUT, two, ())
    assert links.addresses == ("127.0.0.1:1", "127.0.0.1:2")
    assert links.seen_by("product").addresses_of("payment") == ("127.0.0.2:1", "127.0.0.2:2")


@pytest.mark.parametrize(
    ("broker", "there"), [(RABBIT, "amqp://guest:guest@127.0.0.2:5672/"), (KAFKA, "127.0.0.2:9093")]
)
def test_elsewhere_the_part_itself_goes_through_it_to_its_broker(broker: Broker, there: str) -> None:
    links = ProxyRoutes(CUT, SETTING, (broker,))
    assert links.addresses == (broker.near,)
    assert links.seen_by("payment").servers == {**SERVERS, broker.name: there}
    for who in (BUYER, "user", "product", "shipping"):
        assert links.seen_by(who) == SETTING


@pytest.mark.parametrize("fault", [None, STOP])
def test_without_a_fault_of_the_network_nobody_does(fault: Fault | None) -> None:
    links = ProxyRoutes(fault, SETTING, (RABBIT,))
    assert links.addresses == ()
    assert all(links.seen_by(who) == SETTING for who in (BUYER, *SERVICES))
