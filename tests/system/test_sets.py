"""Tests `fourways bench SLICE=…`: sets in which all arms are up and slices take turns."""

import signal
import statistics
from pathlib import Path

import pandas as pd
import pytest

from bench.results.store import RunFolder
from tests.bad_clients import declare_transports
from tests.system.command_line import TIMEOUT_S, BenchCommandLine, find_code, is_completed, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.broker]

SHORT_SETS = (
    "SLICE=250ms",
    "SLICES=3",
    "ROUNDS=1",
    "WARM_UP=0.5",
    "WARM_UP_MAX=0",
    "BROKER_WARM_UP=0",
    "RATE=80",
    "DEADLINE=5",
    "REPORT=no",
    "YARDSTICK=none",
)


def check_slices_against_trials(run: RunFolder) -> None:
    """What the slices count and cost has to come to what the rows of trials.csv say."""
    slices, trials = run.slices(), run.trials()
    for trial in trials.to_dict("records"):
        mine = slices[(slices["cell"] == trial["cell"]) & (slices["round"] == trial["round"])]
        assert list(mine["slice"].sort_values()) == [1, 2, 3]
        assert set(mine["slot"]) == {trial["slot"]}
        for column in ("planned", "finished", "failed", "unfinished", "not_sent"):
            assert mine[column].sum() == trial[column]
        assert mine["window_s"].sum() == pytest.approx(trial["duration_s"])
        for part in ("services", "driver", "broker"):
            column = f"cpu_us_per_order_{part}"
            used_us = (mine[column] * mine["costed_orders"]).sum(min_count=1)
            assert used_us / mine["costed_orders"].sum() == pytest.approx(trial[column], rel=1e-4, nan_ok=True)
    # One plan for all cells, slice by slice.
    for column in ("planned", "lead_in_planned", "first_number"):
        assert (slices.groupby(["round", "slice"])[column].nunique() == 1).all()
    assert (trials.groupby("round")["plan_hash"].nunique() == 1).all()


def test_a_set_of_rest_and_grpc_closes_its_books_and_has_a_row_for_every_slice(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest,grpc", *SHORT_SETS, "RAW=yes")
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials()
    assert list(trials["cell"]) == ["rest", "grpc", "grpc+json"]
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert run.manifest["plan"] == "sets"
    assert len(run.slices()) == 9
    check_slices_against_trials(run)
    for trial in trials.to_dict("records"):
        raw = pd.read_csv(run.path / "raw" / f"r1-s{trial['slot']}-{trial['cell']}.csv")
        assert sorted(raw["number"]) == list(range(trial["planned"]))
        took_us = (raw["finished_ns"] - raw["planned_ns"]) // 1000
        assert statistics.median_low(took_us) == pytest.approx(trial["finish_p50_us"], rel=0.002)
    assert {series for _, series, _ in run.histograms()} >= {"accept", "finish", "lateness"}
    assert set(run.hops()["cell"]) <= {"rest", "grpc", "grpc+json"}
    assert "set 1:" in done.stdout
    assert bench.left() == []


def test_a_set_with_brokers_closes_its_books(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest,broker,events", *SHORT_SETS)
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials()
    assert list(trials["cell"]) == ["rest", "broker", "events"]
    assert trials["complete"].all(), trials["caveats"].tolist()
    check_slices_against_trials(run)
    assert bench.left() == []


@pytest.mark.parametrize("methods", ["rest,grpc", "broker,events"])
def test_bare_chains_are_measured_beside_their_methods_and_have_no_books(bench: BenchCommandLine, methods: str) -> None:
    short = [one for one in SHORT_SETS if not one.startswith(("YARDSTICK", "DEADLINE"))]
    done = bench.run(f"TRANSPORT={methods}", *short, "YARDSTICK=each")
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials().set_index("cell")
    bare = trials.loc[list(dict.fromkeys(["bare-rest", *(f"bare-{name}" for name in methods.split(","))]))]
    assert len(bare) == sum(trials["transport"].str.startswith("bare-"))
    assert bare["complete"].all(), bare["caveats"].tolist()
    assert bare["finished"].gt(0).all() and bare["lost"].isna().all()
    assert set(bare["rate_per_s"]) == {150} and set(bare["order_bytes"]) == {1024}
    assert set(bare["store"]) == {"memory"} and set(trials.loc[methods.split(","), "store"]) == {"sqlite"}
    assert set(run.manifest["traits"]) == set(methods.split(","))
    assert bench.left() == []


def test_cells_of_one_arm_share_its_services_and_its_books(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=rest", *SHORT_SETS, "RATE=40,80")
    assert is_completed(done), done.stdout + done.stderr
    assert "2 cells, 1 arm," in done.stdout
    trials = bench.open_latest_run().trials()
    assert list(trials["cell"]) == ["rest@40", "rest@80"]
    assert trials["complete"].all(), trials["caveats"].tolist()


def test_a_run_that_is_stopped_in_a_set_plays_that_set_anew(bench: BenchCommandLine) -> None:
    two = ("TRANSPORT=rest,grpc", *SHORT_SETS[:2], "ROUNDS=2", *SHORT_SETS[3:])
    with bench.running(*two) as process:
        wait_until(lambda: bench.trials() >= 3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "RESUME=latest" in out
    done = bench.run("RESUME=latest")
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    assert sorted(zip(run.trials()["round"], run.trials()["slot"], strict=True)) == [
        (set_, slot) for set_ in (1, 2) for slot in (1, 2, 3)
    ]
    assert len(run.slices()) == 18
    check_slices_against_trials(run)


def test_a_method_in_the_load_process_has_one_of_its_own(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=memory,rest", *SHORT_SETS)
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials()
    assert list(trials["cell"]) == ["memory", "rest"]
    assert trials["complete"].all(), trials["caveats"].tolist()
    check_slices_against_trials(run)
    places = run.slices().sort_values("begins_s")["place"]
    assert list(places) == [1, 2, 3, 4, 5, 6]
    assert bench.left() == []


def kept_slices(bench: BenchCommandLine) -> pd.DataFrame:
    """What is in slices.csv, whether or not its set has rows."""
    files = list(bench.results.glob("2*/slices.csv"))
    return pd.read_csv(files[0]) if files else pd.DataFrame()


def test_slices_are_kept_as_they_end_and_a_stop_says_which_set_it_cut(bench: BenchCommandLine) -> None:
    with bench.running("TRANSPORT=rest,grpc", *SHORT_SETS, "SLICES=40") as process:
        wait_until(lambda: len(kept_slices(bench)) >= 6)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "RESUME=latest" in out
    run = bench.open_latest_run()
    assert 6 <= len(kept_slices(bench)) < 120
    assert not kept_slices(bench).duplicated(["cell", "slice"]).any()
    assert run.trials().empty
    assert run.slices().empty
    assert [entry["name"] for entry in run.manifest["caveats"] if entry["name"] == "set-cut"] == ["set-cut"]
    run.drop_unmeasured()
    assert kept_slices(bench).empty
    assert "set-cut" not in [entry["name"] for entry in bench.open_latest_run().manifest["caveats"]]
    assert bench.left() == []


def kill_service(bench: BenchCommandLine, log: str) -> None:
    """Kills the service whose log's name contains these letters."""
    (victim,) = [
        process
        for process in bench.find_module_processes("bench.provision.service_main")
        if log in Path(f"/proc/{process.pid}/fd/2").readlink().name
    ]
    victim.kill()


def test_an_arm_that_dies_in_a_set_ends_and_the_others_go_on(bench: BenchCommandLine) -> None:
    with bench.running("TRANSPORT=rest,grpc", *SHORT_SETS, "SLICES=12") as process:
        wait_until(lambda: len(kept_slices(bench)) >= 3)
        kill_service(bench, "a1-payment")
        out, _ = process.communicate(timeout=TIMEOUT_S)
    run = bench.open_latest_run()
    trials = run.trials().set_index("cell")
    assert not trials.loc["rest", "complete"], out
    assert {"failed", "died"} & set(trials.loc["rest", "caveats"].split(";"))
    assert trials.loc[["grpc", "grpc+json"], "complete"].all(), trials["caveats"].tolist()
    assert all("set-disturbed" in caveats.split(";") for caveats in trials["caveats"])
    counts = run.slices().groupby("cell")["slice"].count()
    assert counts["rest"] < 12
    assert counts[["grpc", "grpc+json"]].tolist() == [12, 12]
    assert bench.left() == []


@pytest.mark.parametrize(
    ("bad", "how", "caveat", "slices"),
    [
        ("bad-rest", "stubborn", "order-left-behind", 6),
        ("bad-rest", "blocks", "slices-lost", 5),
        ("bad-memory", "blocks", "slices-lost", 5),
    ],
)
def test_an_order_that_holds_its_load_process_costs_its_own_arm_alone(
    bench: BenchCommandLine, tmp_path: Path, bad: str, how: str, caveat: str, slices: int
) -> None:
    # In the window of its first slice: a warm-up would have more orders on a faster machine.
    bench.env |= declare_transports(tmp_path / "site", f"{how}:18:1")
    done = bench.run(f"TRANSPORT={bad},rest", *SHORT_SETS, "SLICES=6", "WARM_UP=0", "DEADLINE=2")
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials().set_index("cell")
    assert trials.loc["rest", "complete"], trials["caveats"].tolist()
    assert caveat in trials.loc[bad, "caveats"].split(";"), trials["caveats"].tolist()
    assert not trials.loc[bad, "complete"]
    assert all("set-disturbed" in caveats.split(";") for caveats in trials["caveats"])
    counts = run.slices().groupby("cell")["slice"].count()
    assert counts.to_dict() == {bad: slices, "rest": 6}
    assert bench.left() == []


def test_a_load_process_that_is_killed_is_followed_by_one_that_goes_on(bench: BenchCommandLine) -> None:
    settings = ("TRANSPORT=rest,broker,events", *SHORT_SETS, "SLICES=12", "RAW=yes")
    with bench.running(*settings) as process:
        wait_until(lambda: len(kept_slices(bench)) >= 3)
        (load,) = bench.find_load_processes()
        load.kill()
        out, _ = process.communicate(timeout=TIMEOUT_S)
    run = bench.open_latest_run()
    trials = run.trials().set_index("cell")
    assert len(trials) == 3, out
    lost = [cell for cell, caveats in trials["caveats"].items() if "slices-lost" in caveats.split(";")]
    assert 1 <= len(lost) <= 2, trials["caveats"].tolist()  # the one at work, and one that had left orders in flight
    assert trials.drop(lost)["complete"].all(), trials["caveats"].tolist()
    slices = run.slices()
    counts = slices.groupby("cell")["slice"].count()
    assert counts.drop(lost).eq(12).all()
    assert counts.sum() < 36
    assert not slices.duplicated(["cell", "slice"]).any()
    assert bench.left() == []


def test_a_client_that_hangs_as_it_connects_is_left_out_and_the_others_play(
    bench: BenchCommandLine, tmp_path: Path
) -> None:
    bench.env |= declare_transports(tmp_path / "site", "hangs:0:99")
    done = bench.run("TRANSPORT=bad-rest,rest", *SHORT_SETS)
    assert find_code(done.stderr) == "trials-disqualified", done.stdout + done.stderr
    run = bench.open_latest_run()
    trials = run.trials().set_index("cell")
    assert trials.loc["rest", "complete"], trials["caveats"].tolist()
    assert "failed" in trials.loc["bad-rest", "caveats"].split(";")
    assert set(run.slices()["cell"]) == {"rest"}
    assert bench.left() == []
