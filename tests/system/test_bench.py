"""Tests `fourways bench` as a user runs it: results, refusals and clean-up."""

import contextlib
import re
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.provision.brokers import URL_VARIABLES
from bench.provision.ports import find_free_ports
from shop.workflow import SERVICES
from tests.system.command_line import (
    SHORT_RUN,
    TIMEOUT_S,
    BenchCommandLine,
    find_code,
    how_refused,
    is_completed,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.broker]


def test_a_run_leaves_everything_that_the_record_format_promises(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=memory", *SHORT_RUN, "REPORT=yes")
    assert is_completed(done), done.stdout + done.stderr
    files = {str(p.relative_to(bench.results / "latest")) for p in (bench.results / "latest").rglob("*") if p.is_file()}
    assert files >= {"manifest.json", "trials.csv", "histograms.hlog", "summary.json"}
    assert files >= {"charts/latency.png", "charts/latency.svg", "charts/latency.csv", "report.html", "report.md"}
    assert {series for _, series, _ in bench.open_latest_run().histograms()} == {
        "accept",
        "finish",
        "finish_service",
        "accept_service",
        "lateness",
        "gap_sent",
        "gap_planned",
    }
    manifest = bench.open_latest_run().manifest
    assert manifest["profile"]["rates_per_s"] == [50]
    assert manifest["cells"][0]["transport"] == "memory"


@pytest.mark.parametrize(("durability", "transports"), [("fast", "rest"), ("safe", "rest,grpc,broker,events")])
def test_two_processes_of_each_service_share_the_orders_and_their_books_add_up(
    bench: BenchCommandLine, durability: str, transports: str
) -> None:
    done = bench.run(f"TRANSPORT={transports}", "PROCESSES=2", f"DURABILITY={durability}", "CODEC=json", *SHORT_RUN)
    assert is_completed(done), done.stdout + done.stderr
    trials = bench.open_latest_run().trials()
    assert set(trials["processes"]) == {2}
    assert set(trials["store"]) == {"sqlite"}
    assert trials["complete"].all(), trials["caveats"].tolist()


@pytest.mark.parametrize("shape", ["document", "structured"])
def test_an_order_of_a_mebibyte_goes_through_all_four_methods(bench: BenchCommandLine, shape: str) -> None:
    done = bench.run("PAYLOAD=1MiB", f"SHAPE={shape}", "CODEC=json", *SHORT_RUN, "RATE=3")
    assert is_completed(done), done.stdout + done.stderr
    trials = bench.open_latest_run().trials()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert set(trials["shape"]) == {shape}


def test_a_compression_that_a_method_has_not_is_refused_by_name_before_anything_starts(bench: BenchCommandLine) -> None:
    done = bench.run("COMPRESSION=gzip")
    assert (*how_refused(done), done.stdout) == (2, "unknown-compression", "")
    assert "broker" in done.stderr


def test_a_compressed_body_is_smaller_on_the_wire(bench: BenchCommandLine) -> None:
    profile = bench.results.parent / "mine.toml"
    profile.write_text('transports = ["rest", "events"]\nalso = ["rest+gzip", "events+zstd"]\n')
    done = bench.run(f"PROFILE={profile}", "PAYLOAD=64KiB", *SHORT_RUN, "RATE=20")
    assert is_completed(done), done.stdout + done.stderr
    trials = bench.open_latest_run().trials().set_index("cell")
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert list(trials["compression"]) == ["none", "gzip", "none", "zstd"]
    for plain, small in (("rest", "rest+gzip"), ("events", "events+zstd")):
        assert trials.loc[small, "wire_bytes_per_order"] < 0.8 * trials.loc[plain, "wire_bytes_per_order"]
    assert trials["gzip_share"].between(0.1, 0.7).all()


def test_a_run_leaves_no_process_queue_or_folder_behind(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=broker,events", *SHORT_RUN))
    assert bench.left() == []


@pytest.mark.parametrize(
    ("setting", "code", "named"),
    [
        ("TRANSPORT=grcp", "unknown-transport", "grpc"),
        ("CODEC=jsn", "unknown-codec", "json"),
        ("PROFILE=defualt", "unknown-profile", "default"),
        ("RATES=3", "unknown-setting", "RATE"),
        ("CLIENT=htpx", "unknown-client", "httpx"),
        ("RATE=-5", "bad-numbers", "RATE"),
        ("RATE=many", "bad-numbers", "RATE"),
        ("PAYLOAD=0", "bad-size", "PAYLOAD"),
        ("PAYLOAD=16", "payload-too-small", "16"),
        ("PAYLOAD=8MiB", "payload-too-large", "8"),
        ("DURATION=0", "bad-seconds", "DURATION"),
        ("ROUNDS=1.5", "bad-count", "ROUNDS"),
        ("DURABILITY=slow", "unknown-durability", "fast, safe"),
        ("TRANSPORT", "no-setting", "KEY=VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_with_code_2(
    bench: BenchCommandLine, setting: str, code: str, named: str
) -> None:
    done = bench.run(setting)
    assert how_refused(done) == (2, code), done.stderr
    assert named in done.stderr
    assert not bench.results.exists()


def test_a_plan_too_large_for_memory_is_refused_before_anything_starts(bench: BenchCommandLine) -> None:
    before = sorted(bench.home.iterdir())
    done = bench.run("RATE=10000000", "DURATION=60")
    assert (*how_refused(done), done.stdout) == (2, "too-many-orders", "")
    assert "600,000,000" in done.stderr
    assert sorted(bench.home.iterdir()) == before
    assert not bench.results.exists()


def test_a_replay_out_of_order_is_refused_with_its_line(bench: BenchCommandLine, tmp_path: Path) -> None:
    path = tmp_path / "replay.txt"
    path.write_text("0\n2\n1\n")
    done = bench.run("TRANSPORT=memory", "ARRIVALS=replay", f"REPLAY={path}")
    assert how_refused(done) == (2, "bad-replay")
    assert f"{path}, line 3" in done.stderr


def test_a_file_is_replayed_order_by_order(bench: BenchCommandLine, tmp_path: Path) -> None:
    path = tmp_path / "replay.csv"
    path.write_text("offset_s\n" + "".join(f"{number / 40}\n" for number in range(61)))
    done = bench.run(
        "TRANSPORT=memory",
        "ARRIVALS=replay",
        f"REPLAY={path}",
        "WARM_UP=0.5",
        "WARM_UP_MAX=0",
        "ROUNDS=2",
        "DEADLINE=5",
    )
    assert is_completed(done), done.stdout + done.stderr
    trials = bench.open_latest_run().trials()
    assert set(trials["arrivals"]) == {"replay"}
    assert list(trials["planned"]) == [61, 61]
    assert list(trials["offered_per_s"]) == [pytest.approx(61 / 1.5, rel=1e-5)] * 2


@pytest.mark.parametrize("arrivals", ["step", "burst"])
def test_a_rate_that_varies_is_measured(bench: BenchCommandLine, arrivals: str) -> None:
    done = bench.run(
        "TRANSPORT=memory",
        f"ARRIVALS={arrivals}",
        "ROUNDS=1",
        "DURATION=1.5",
        "WARM_UP=0.5",
        "WARM_UP_MAX=0",
        "RATE=90",
    )
    assert is_completed(done), done.stdout + done.stderr
    (trial,) = bench.open_latest_run().trials().to_dict("records")
    assert (trial["arrivals"], trial["complete"]) == (arrivals, True)
    assert trial["offered_per_s"] == {"step": 150, "burst": 90}[arrivals]


@pytest.mark.parametrize("transport", ["rest", "events"])
def test_the_percentiles_can_be_computed_again_from_every_order(bench: BenchCommandLine, transport: str) -> None:
    done = bench.run(f"TRANSPORT={transport}", "RAW=1", *SHORT_RUN, "RATE=150")
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    (trial,) = run.trials().to_dict("records")
    orders = pd.read_csv(run.path / "raw" / f"r1-s1-{transport}.csv")
    assert list(orders.sort_values("number")["number"]) == list(range(int(trial["planned"])))
    latency_us = (orders["finished_ns"] - orders["planned_ns"]) / 1000
    for quantile in (0.5, 0.9):
        again_us = latency_us.quantile(quantile, interpolation="inverted_cdf")
        assert trial[f"finish_p{quantile * 100:.0f}_us"] == pytest.approx(again_us, rel=0.002)
    within = pd.read_csv(run.path / "percentiles.csv").set_index(["series", "quantile"]).loc[("finish", "p50")]
    assert within["low_us"] < trial["finish_p50_us"] == within["value_us"] < within["high_us"]


def test_a_broker_carries_orders_before_its_first_trial_and_not_again(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=broker", *SHORT_RUN, "ROUNDS=2", "BROKER_WARM_UP=0.5")
    assert is_completed(done), done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert len(re.findall(r"brokers warmed in \d+ s, 2 of 2 passes of 0.25 s", said)) == 1
    assert bench.trials() == 2


def test_a_study_of_a_profile_without_an_objective_is_refused_before_anything_starts(bench: BenchCommandLine) -> None:
    done = bench.done(bench.fourways("study"))
    assert (*how_refused(done), done.stdout) == (2, "no-objective", "")
    assert "SLO=" in done.stderr
    assert not bench.results.exists()


def test_a_misspelt_profile_key_is_refused_by_name(bench: BenchCommandLine, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text("rate_per_sec = 10\n")
    done = bench.run(f"PROFILE={profile}")
    assert how_refused(done) == (2, "unknown-profile-key")
    assert "'rate_per_s'" in done.stderr


def test_a_broker_asked_for_by_name_and_not_there_is_an_error(bench: BenchCommandLine) -> None:
    bench.env[URL_VARIABLES["kafka"]] = f"127.0.0.1:{find_free_ports(1)[0]}"
    done = bench.run("TRANSPORT=events", *SHORT_RUN)
    assert how_refused(done) == (3, "missing-server")
    assert "KAFKA_BOOTSTRAP" in done.stderr


def test_a_broker_that_is_missing_and_was_not_asked_for_by_name_is_skipped_and_said(bench: BenchCommandLine) -> None:
    bench.env[URL_VARIABLES["kafka"]] = f"127.0.0.1:{find_free_ports(1)[0]}"
    profile = bench.results.parent / "mine.toml"
    profile.write_text('transports = ["memory", "events"]\nalso = []\n')
    done = bench.run(f"PROFILE={profile}", *SHORT_RUN)
    assert is_completed(done), done.stdout + done.stderr
    assert "events skipped" in done.stdout
    assert list(bench.open_latest_run().manifest["skipped"]) == ["events"]
    assert set(bench.open_latest_run().trials()["transport"]) == {"memory"}


def take_row_of_ports(stack: contextlib.ExitStack, count: int) -> list[int]:
    """Listen on ports that follow one another, as long as the stack lasts, and return them."""
    for _ in range(100):
        (first,) = find_free_ports(1)
        with contextlib.ExitStack() as row, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held = row.enter_context(socket.socket())
                held.bind(("127.0.0.1", port))
                held.listen()
            stack.enter_context(row.pop_all())
            return list(range(first, first + count))
    raise AssertionError(f"no {count} free ports in a row")


def test_a_taken_port_is_said(bench: BenchCommandLine) -> None:
    with contextlib.ExitStack() as stack:
        # All four are taken, so that whichever service is first to say so names one of ours.
        ports = take_row_of_ports(stack, len(SERVICES))
        done = bench.run("TRANSPORT=rest", f"PORTS={ports[0]}", *SHORT_RUN)
    assert how_refused(done) == (6, "trials-disqualified")
    assert any(f"127.0.0.1:{port}:" in done.stdout for port in ports), done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_leaves_nothing_running(
    bench: BenchCommandLine, number: signal.Signals
) -> None:
    with bench.running(
        "REPORT=no", "TRANSPORT=rest", "ROUNDS=9", "DURATION=1", "WARM_UP=0", "BROKER_WARM_UP=0", "RATE=50"
    ) as process:
        wait_until(lambda: bench.trials() >= 1 and len(bench.processes()) >= 4)
        process.send_signal(number)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (130, "stopped")
    assert "Traceback" not in out
    assert bench.processes() == []
    assert 1 <= bench.trials() < 9


def test_after_a_kill_nothing_stays(bench: BenchCommandLine, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    bench.env["TMPDIR"] = str(temporary)
    with bench.running(
        "REPORT=no", "TRANSPORT=rest", "ROUNDS=9", "DURATION=1", "WARM_UP=0", "BROKER_WARM_UP=0", "RATE=50"
    ) as process:
        wait_until(lambda: bench.trials() >= 1 and len(bench.processes()) >= 4)
        process.kill()
        process.wait()
        wait_until(lambda: not bench.processes())
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    assert bench.runs() == []
    assert list(temporary.iterdir()) == []


def test_a_broker_that_dies_in_a_trial_makes_it_invalid_and_the_run_goes_on(tmp_path: Path) -> None:
    bench = BenchCommandLine(tmp_path, {})
    settings = (
        "REPORT=no",
        "TRANSPORT=broker",
        "ROUNDS=2",
        "DURATION=3",
        "WARM_UP=0",
        "BROKER_WARM_UP=0",
        "RATE=50",
        "DEADLINE=3",
    )
    with bench.running(*settings) as process:
        wait_until(lambda: bench.processes("python")[3:])
        wait_until(lambda: "-worker.log" in " ".join(map(str, bench.results.rglob("*-worker.log"))))
        started = time.monotonic()
        wait_until(lambda: time.monotonic() > started + 2)  # into the window
        for server in bench.processes("beam.smp"):
            server.kill()
        out, _ = process.communicate(timeout=150)
    assert (process.returncode, find_code(out)) == (6, "trials-disqualified"), out
    assert "round 1 of broker (died" in out.splitlines()[-1]
    trials = bench.open_latest_run().trials()
    assert list(trials["complete"]) == [False, True]
    assert "died" in trials["caveats"].iloc[0]
    assert "Traceback" not in out
    assert bench.processes() == []


@pytest.mark.parametrize("transport", ["rest", "broker"])
def test_a_service_that_does_not_answer_within_the_deadline_makes_the_trial_invalid(
    bench: BenchCommandLine, transport: str
) -> None:
    settings = (
        f"TRANSPORT={transport}",
        "ROUNDS=1",
        "DURATION=3",
        "WARM_UP=0",
        "BROKER_WARM_UP=0",
        "RATE=20",
        "DEADLINE=1",
    )
    with bench.running(*settings) as process:
        wait_until(lambda: list(bench.results.rglob("*-worker.log")))
        shipping = next(p for p in bench.processes() if "shipping" in log_of(p))
        shipping.suspend()
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (6, "trials-disqualified"), out
    trial = bench.open_latest_run().trials().iloc[0]
    assert trial["failed"] + trial["unfinished"] > 0
    assert trial["finish_p50_us"] == float("inf")
    assert f"round 1 of {transport} (silent" in out.splitlines()[-1]
    assert "Traceback" not in out
    assert bench.processes() == []


def log_of(process: psutil.Process) -> str:
    """Where a process complains, as the system sees it."""
    return str(Path(f"/proc/{process.pid}/fd/2").readlink())


@pytest.mark.parametrize("size", ["8k", "16k", "64k"], ids=["at first", "in a summary", "in a chart"])
def test_a_full_disk_for_results_is_one_sentence_with_code_5(
    bench: BenchCommandLine, tmp_path: Path, size: str
) -> None:
    """A file system of this size, seen by nobody else, that goes with the command."""
    bench.results = tmp_path / "small" / "results"
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size={size} tmpfs {tmp_path}/small"
    private = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if (tried := bench.done([*private, mount])).returncode:
        pytest.skip(f"no file system of one's own here: {tried.stderr}")
    done = bench.done(
        [*private, f'{mount} && exec "$@"', "bash", *bench.command("TRANSPORT=memory", *SHORT_RUN, "REPORT=yes")]
    )
    assert how_refused(done) == (5, "file-error")
    assert str(tmp_path / "small") in done.stderr
    assert bench.left() == []


def test_a_home_that_cannot_be_is_one_sentence(bench: BenchCommandLine, tmp_path: Path) -> None:
    bench.home = tmp_path / "file" / "home"
    (tmp_path / "file").touch()
    done = bench.run("TRANSPORT=memory", *SHORT_RUN, "REPORT=yes")
    assert how_refused(done) == (4, "system-error")
    assert str(bench.home) in done.stderr


def test_processes_bear_the_one_name_of_a_home_that_was_reached_by_a_link(
    bench: BenchCommandLine, tmp_path: Path
) -> None:
    """By it the next run finds what a kill has left."""
    link = tmp_path / "link"
    link.symlink_to(bench.home)
    settings = ("REPORT=no", "TRANSPORT=rest", "ROUNDS=1", "DURATION=1", "WARM_UP=0", "BROKER_WARM_UP=0", "RATE=50")
    home, bench.home = bench.home, link
    command = bench.command(*settings)
    bench.home = home
    with bench.started(command) as process:
        wait_until(lambda: len(bench.processes()) >= 4 or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
    assert bench.processes() == []


@pytest.mark.parametrize("transport", ["memory", "grpc", "broker", "events"])
def test_where_the_time_went_adds_up_to_it(bench: BenchCommandLine, transport: str) -> None:
    done = bench.run(f"TRANSPORT={transport}", *SHORT_RUN, "TRACE_EVERY=1")
    assert is_completed(done), done.stdout + done.stderr
    hops = pd.read_csv(bench.results / "latest" / "hops.csv")
    (trial,) = bench.open_latest_run().trials().to_dict("records")
    assert set(hops["n"]) == {trial["shipped"]}
    assert list(dict.fromkeys(hops["service"])) == ["user", "product", "payment", "shipping", "buyer"]
    assert (hops["mean_us"] >= 0).all()
    (histogram,) = (h for _, series, h in bench.open_latest_run().histograms() if series == "finish_service")
    assert histogram.get_min_value() < hops["mean_us"].sum() < histogram.get_max_value()


def test_without_samples_there_are_no_hops(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN, "TRACE_EVERY=0"))
    assert not (bench.results / "latest" / "hops.csv").exists()
