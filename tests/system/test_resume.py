"""Tests that runs that were stopped or killed can be resumed."""

import signal

import pytest

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


def test_a_load_process_that_dies_in_a_trial_costs_that_trial_which_a_resumed_run_measures_again(
    bench: BenchCommandLine,
) -> None:
    with bench.running(
        "REPORT=no", "TRANSPORT=memory", "ROUNDS=2", "DURATION=3", "WARM_UP=0", "BROKER_WARM_UP=0", "RATE=50"
    ) as process:
        wait_until(bench.find_load_processes)
        (load,) = bench.find_load_processes()
        load.kill()
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (6, "trials-disqualified"), out
    assert "round 1 of memory (failed)" in out.splitlines()[-1]
    assert "`make bench RESUME=latest`" in out.splitlines()[-1]
    assert "Traceback" not in out
    assert list(bench.open_latest_run().trials()["planned"] > 0) == [False, True]

    done = bench.run("RESUME=latest")
    assert is_completed(done), done.stdout + done.stderr
    assert (bench.open_latest_run().trials()["planned"] > 0).tolist() == [True, True]
    (resumed,) = bench.open_latest_run().manifest["resumed"]
    assert "ended in the middle" in resumed["measured_again"][0]
    assert "(1) failed" not in done.stdout


def test_a_run_that_was_stopped_goes_on_with_what_it_lacks(bench: BenchCommandLine) -> None:
    short = ("REPORT=no", "ROUNDS=3", "DURATION=1", "WARM_UP=0", "BROKER_WARM_UP=0", "RATE=50", "SEED=7")
    with bench.running("TRANSPORT=memory,rest", *short) as process:
        wait_until(lambda: bench.trials() >= 2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "RESUME=latest" in out
    first = bench.open_latest_run()
    before = first.trials()
    done = bench.run("RESUME=latest")
    assert is_completed(done), done.stdout + done.stderr
    assert bench.open_latest_run().path.resolve() == first.path.resolve()
    after = bench.open_latest_run().trials()
    assert sorted(zip(after["round"], after["cell"], strict=True)) == [
        (round_, cell) for round_ in (1, 2, 3) for cell in ("memory", "rest")
    ]
    kept = after.merge(before, on=list(before.columns))
    assert len(kept) == len(before)
    assert len(bench.open_latest_run().manifest["resumed"]) == 1
    assert all(after.groupby("round")["plan_hash"].nunique() == 1)


def test_a_run_goes_on_with_its_own_settings_only(bench: BenchCommandLine) -> None:
    done = bench.run("RESUME=latest", "RATE=3")
    assert how_refused(done) == (2, "resume-with-settings")


def test_a_run_that_has_ended_takes_more_rounds_and_not_fewer(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    assert is_completed(bench.run("RESUME=latest", "ROUNDS=3"))
    assert list(bench.open_latest_run().trials()["round"]) == [1, 2, 3]
    assert bench.open_latest_run().manifest["profile"]["rounds"] == 3
    done = bench.run("RESUME=latest", "ROUNDS=2")
    assert how_refused(done) == (2, "fewer-rounds")


def test_a_run_that_is_not_there_cannot_go_on(bench: BenchCommandLine) -> None:
    done = bench.run("RESUME=nowhere")
    assert how_refused(done) == (2, "unknown-run")
    assert "nowhere" in done.stderr


def test_a_run_of_another_commit_cannot_go_on(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    manifest = bench.results / "latest" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"commit": "', '"commit": "0'))
    done = bench.run("RESUME=latest")
    assert how_refused(done) == (5, "ground-changed")
    assert "commit" in done.stderr


def test_a_run_that_may_not_go_on_does_not_become_the_latest(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    older = bench.open_latest_run().path.resolve()
    manifest = older / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"commit": "', '"commit": "0'))
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    newer = bench.open_latest_run().path.resolve()
    assert bench.run(f"RESUME={older.name}").returncode == 5
    assert bench.open_latest_run().path.resolve() == newer != older


def test_a_run_goes_on_by_the_command_that_began_it(bench: BenchCommandLine) -> None:
    assert is_completed(bench.run("TRANSPORT=memory", *SHORT_RUN))
    done = bench.done(bench.fourways("study", "RESUME=latest"))
    assert how_refused(done) == (2, "resume-other-command")
    assert "make bench RESUME=" in done.stderr


def test_a_study_that_was_stopped_goes_on_with_what_its_design_lacks(bench: BenchCommandLine) -> None:
    asked = ("REPORT=no", "PROFILE=format", "TRANSPORT=memory", "PAYLOAD=1KiB", "ROUNDS=1", "DURATION=1", "WARM_UP=0")
    with bench.started(bench.fourways("study", *asked)) as process:
        wait_until(lambda: bench.trials() >= 1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "make study RESUME=latest" in out
    before = bench.open_latest_run().trials()
    assert len(before) < 4
    done = bench.done(bench.fourways("study", "RESUME=latest"))
    assert is_completed(done), done.stdout + done.stderr
    after = bench.open_latest_run().trials()
    assert sorted(after["cell"]) == ["memory+avro@1KiB", "memory+msgpack@1KiB", "memory+protobuf@1KiB", "memory@1KiB"]
    assert len(after.merge(before, on=list(before.columns))) == len(before)
    assert (bench.open_latest_run().path / "effects.csv").is_file()
