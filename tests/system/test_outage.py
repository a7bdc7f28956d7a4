"""A part that is away in the middle of a trial, on real services and brokers."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.house import went_through
from tests.system.test_bench import Bench

AWAY = ("ROUNDS=1", "WARM_UP=0.5", "WARM_UP_MAX=0", "BROKER_WARM_UP=0", "RATE=50", "DEADLINE=10", "STORE=sqlite")
SOON = ("DURATION=4", "FAULT_AT=1", "FAULT_FOR=1")


@pytest.fixture
def bench(tmp_path: Path, servers: Mapping[str, str]) -> Iterator[Bench]:
    made = Bench(tmp_path, servers)
    yield made
    for process in made.processes():
        process.kill()


def test_a_service_that_is_stopped_delays_orders_on_every_method_and_loses_none(bench: Bench) -> None:
    done = bench.run("TRANSPORT=rest,grpc,broker,events", "FAULT=stop-payment", *AWAY, *SOON)
    assert went_through(done), done.stderr
    trials, outages = bench.latest().trials(), bench.latest().outages()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert list(outages["cell"]) == ["rest", "grpc", "grpc+json", "broker", "events"]
    assert (outages["began_s"] - 1).abs().max() < 0.5
    assert (outages["longest_us"] > 900_000).all()
    assert (outages["delayed"] > 20).all()
    assert "stop-payment" in done.stdout


def test_orders_for_a_service_that_was_killed_fail_in_a_chain_and_wait_in_a_queue(bench: Bench) -> None:
    done = bench.run("TRANSPORT=rest,broker", "FAULT=kill-payment", *AWAY, *SOON)
    assert went_through(done), done.stderr
    outages = bench.latest().outages().set_index("cell")
    assert outages.loc["rest", "failed"] > 20
    assert outages.loc["broker", "failed"] == 0
    assert (outages["back_s"] - outages["began_s"]).min() > 1


def test_retries_wait_for_a_service_that_comes_back(bench: Bench) -> None:
    done = bench.run("TRANSPORT=rest,grpc", "RETRIES=50", "CODEC=json", "FAULT=kill-payment", *AWAY, *SOON)
    assert went_through(done), done.stderr
    trials = bench.latest().trials()
    assert (trials["failed"] == 0).all(), trials["caveats"].tolist()
    assert trials["complete"].all(), trials["caveats"].tolist()


def test_a_fault_without_sense_is_refused(bench: Bench) -> None:
    done = bench.run("FAULT=stop the world")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
