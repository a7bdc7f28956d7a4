"""Tests outages in the middle of a trial, with real services and brokers."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import BenchCommandLine, how_refused, is_completed

pytestmark = [pytest.mark.slow, pytest.mark.broker]

AWAY = ("REPORT=no", "ROUNDS=1", "WARM_UP=0.5", "WARM_UP_MAX=0", "BROKER_WARM_UP=0", "RATE=50", "DEADLINE=10")
SOON = ("DURATION=4", "FAULT_AT=1", "FAULT_FOR=1")


def test_a_service_that_is_stopped_delays_orders_on_every_method_and_loses_none(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest,grpc,broker,events", "FAULT=stop-payment", *AWAY, *SOON)
    assert is_completed(done), done.stdout + done.stderr
    trials, outages = bench.open_latest_run().trials(), bench.open_latest_run().outages()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert list(outages["cell"]) == ["rest", "grpc", "grpc+json", "broker", "events"]
    assert (outages["fault_begin_s"] - 1).abs().max() < 0.5
    assert (outages["longest_us"] > 900_000).all()
    assert (outages["delayed"] > 20).all()
    assert "stop-payment" in done.stdout


def test_orders_for_a_service_that_was_killed_fail_in_a_chain_and_wait_in_a_queue(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest,broker", "FAULT=kill-payment", *AWAY, *SOON)
    assert is_completed(done), done.stdout + done.stderr
    outages = bench.open_latest_run().outages().set_index("cell")
    assert outages.loc["rest", "failed"] > 20
    assert outages.loc["broker", "failed"] == 0
    assert (outages["fault_end_s"] - outages["fault_begin_s"]).min() > 1


def test_retries_wait_for_a_service_that_comes_back(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest,grpc", "RETRIES=50", "CODEC=json", "FAULT=kill-payment", *AWAY, *SOON)
    assert is_completed(done), done.stdout + done.stderr
    trials = bench.open_latest_run().trials()
    assert (trials["failed"] == 0).all(), trials["caveats"].tolist()
    assert trials["complete"].all(), trials["caveats"].tolist()


def test_a_fault_without_sense_is_refused(bench: BenchCommandLine) -> None:
    done = bench.run("FAULT=stop the world")
    assert how_refused(done) == (2, "unknown-fault")


BLOCK = """
transports = ["rest", "grpc", "broker", "events"]
also = []
codec = "json"
[[block]]
fault = { rest = ["cut-payment", "delay-payment"], grpc = ["cut-payment"] }
[[block]]
fault = { broker = ["cut-payment", "delay-payment", "stop-broker"], events = ["cut-payment", "stop-broker"] }
"""


@pytest.fixture
def house_with_a_network(tmp_path: Path) -> Iterator[BenchCommandLine]:
    """Brokers of its own, since a given one tells its clients to come straight to it."""
    if shutil.which("go") is None:
        pytest.skip("Toxiproxy is built with Go")
    made = BenchCommandLine(tmp_path, {})
    yield made
    for process in made.processes():
        process.kill()


def test_a_network_or_a_broker_that_stands_still_delays_orders_on_every_method_and_loses_none(
    house_with_a_network: BenchCommandLine, tmp_path: Path
) -> None:
    bench, profile = house_with_a_network, tmp_path / "network.toml"
    profile.write_text(BLOCK)
    done = bench.run(f"PROFILE={profile}", *AWAY, *SOON, "DURATION=3")
    assert is_completed(done), done.stdout + done.stderr
    trials, outages = bench.open_latest_run().trials(), bench.open_latest_run().outages()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert len(outages) == 8
    assert (outages[outages["fault"] == "stop-broker"]["longest_us"] > 900_000).all()
    cut, slow = (outages[outages["fault"] == fault] for fault in ("cut-payment", "delay-payment"))
    assert (cut["longest_us"] > 900_000).all(), cut
    # A chain waits for a question and its answer, elsewhere a message comes and what follows goes: 5 ms each.
    assert (slow["during_p50_us"] > 10_000).all(), slow
    assert bench.left() == []


def test_a_network_that_is_cut_beneath_tls_delays_orders_and_loses_none(house_with_a_network: BenchCommandLine) -> None:
    """It leads by another address, at which the server's certificate has to be good as well."""
    bench = house_with_a_network
    done = bench.run("TRANSPORT=rest,events", "SECURITY=auth", "FAULT=cut-payment", *AWAY, *SOON, "DURATION=3")
    assert is_completed(done), done.stdout + done.stderr
    trials, outages = bench.open_latest_run().trials(), bench.open_latest_run().outages()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert set(trials["negotiated_cipher"]) == {"TLS_AES_128_GCM_SHA256"}
    assert list(outages["cell"]) == ["rest", "events"]
    assert (outages["longest_us"] > 900_000).all(), outages
    assert bench.left() == []


KILLED = """
transports = ["broker", "events"]
also = []
fault = "kill-broker"
[[block]]
durability = { broker = ["fast", "safe"], events = ["safe"] }
"""


def test_a_broker_that_is_killed_and_starts_again_is_used_again(tmp_path: Path) -> None:
    bench, profile = BenchCommandLine(tmp_path, {}), tmp_path / "killed.toml"
    profile.write_text(KILLED)
    done = bench.run(f"PROFILE={profile}", *AWAY, *SOON, "DURATION=20", "DEADLINE=20")
    assert is_completed(done), done.stdout + done.stderr
    outages, trials = (
        bench.open_latest_run().outages().set_index("cell"),
        bench.open_latest_run().trials().set_index("cell"),
    )
    assert list(trials["durability"].sort_values()) == ["fast", "safe", "safe"]
    assert (outages["fault_end_s"] - outages["fault_begin_s"]).min() > 1
    # Consumers and publishers found their way back: what was ordered at the end was done.
    for cell, stretches in bench.open_latest_run().timeline().groupby("cell"):
        assert stretches.sort_values("from_s")["finish_p50_us"].tail(4).lt(math.inf).any(), (cell, done.stdout)
    assert not trials["caveats"].fillna("").str.contains("audit|died|silent").any(), trials["caveats"].tolist()
    assert (trials.loc[trials["durability"] == "safe", "lost"] == 0).all()
    assert bench.left() == []


def test_a_broker_that_make_up_keeps_is_not_killed(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=broker", "FAULT=kill-broker", *AWAY, *SOON)
    assert how_refused(done) == (3, "missing-server")
    assert "rabbitmq" in done.stderr


def test_a_step_says_when_orders_are_as_before(bench: BenchCommandLine) -> None:
    step = ("ARRIVALS=step", "STEP_FACTOR=4", "STEP_AT=1", "STEP_FOR=1", "DURATION=4")
    done = bench.run("TRANSPORT=rest", *AWAY, *step)
    assert is_completed(done), done.stdout + done.stderr
    (row,) = bench.open_latest_run().outages().to_dict("records")
    assert (row["fault"], row["fault_begin_s"], row["fault_end_s"]) == ("step", 1.0, 2.0)
    assert row["before_p50_us"] > 0
