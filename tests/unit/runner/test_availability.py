"""Tests which cells are skipped before the first trial, and the reasons given."""

from dataclasses import replace

import pytest

from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.provision.base import Broker, Unavailable
from bench.runner.availability import NETWORK, find_unavailable_reason

OURS = Broker("kafka", "127.0.0.1:9092", "native", "4.3.0", (1,), near="127.0.0.1:9093")
SECURED = replace(OURS, security="tls", further={"auth": "127.0.0.1:9095"})
KEPT = replace(OURS, provided_by="kept")
CONTAINED = replace(OURS, provided_by="compose", pids=(), near="")
GIVEN = replace(OURS, provided_by="given", pids=(), near="")


def find_reason(
    fault: str, broker: Broker | Unavailable, security: str = "none", network: Unavailable | None = None
) -> str:
    profile = load_profile(settings={"TRANSPORT": "events", "FAULT": fault, "STORE": "sqlite", "SECURITY": security})
    shared = {"kafka": broker} | ({} if network is None else {NETWORK: network})
    return find_unavailable_reason(expand_cells(profile)[0], shared)


@pytest.mark.parametrize("fault", ["none", "stop-payment", "kill-payment", "stop-broker", "kill-broker", "cut-payment"])
def test_a_broker_that_the_run_itself_started_may_suffer_everything(fault: str) -> None:
    assert find_reason(fault, OURS) == ""


@pytest.mark.parametrize("fault", ["cut-payment", "delay-user", "kill-broker"])
def test_a_fault_at_the_level_of_a_run_is_measured(fault: str) -> None:
    assert find_reason(fault, SECURED, "tls") == ""


@pytest.mark.parametrize("fault", ["cut-payment", "delay-user"])
def test_a_network_is_refused_at_a_level_to_which_it_does_not_lead(fault: str) -> None:
    reason = find_reason(fault, SECURED, "auth")
    assert all(word in reason for word in (fault, "SECURITY=auth", "kafka"))


@pytest.mark.parametrize(
    ("fault", "broker", "instead"),
    [
        ("kill-broker", KEPT, "make down"),
        ("kill-broker", CONTAINED, "container"),
        ("stop-broker", CONTAINED, "container"),
        ("cut-payment", GIVEN, "KAFKA_BOOTSTRAP"),
        ("stop-broker", GIVEN, "KAFKA_BOOTSTRAP"),
    ],
)
def test_what_is_not_ours_is_not_taken_away(fault: str, broker: Broker, instead: str) -> None:
    reason = find_reason(fault, broker)
    assert all(word in reason for word in (fault, "kafka", instead))


def test_what_is_missing_is_said_by_itself() -> None:
    assert find_reason("cut-payment", Unavailable("kafka", "there is no kafka")) == "there is no kafka"
    assert find_reason("cut-payment", OURS, network=Unavailable(NETWORK, "there is no Go")) == "there is no Go"
