"""Tests the results folder of a run."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.errors import ResultsError
from bench.results.caveats import Caveat, no_orders, not_steady
from bench.results.histograms import Percentiles, compute_percentile_intervals
from bench.results.reader import SCHEMA_VERSION
from bench.results.rows import HopRow, trial_columns
from bench.results.store import RunFolder
from tests.unit.builders import build_histogram, build_run, build_slice, build_trial


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "run-1", {"seed": 7})


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "one", {})
    RunFolder.create(tmp_path, "two", {})
    assert (tmp_path / "latest").readlink() == Path("two")
    assert RunFolder.open(tmp_path / "latest").manifest["run_id"] == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "one", "two"]


def test_columns_stand_in_the_order_of_the_contract() -> None:
    columns = list(trial_columns())
    assert columns[:4] == ["round", "slot", "cell", "transport"]
    shipped = columns.index("shipped")
    assert columns[shipped : shipped + 7] == ["shipped", "rejected"] + [
        f"accept_{name}_us" for name in ("p50", "p90", "p99", "p999", "max")
    ]
    assert columns[-2:] == ["valid", "caveats"]


def test_a_trial_is_read_back_as_it_was(run: RunFolder) -> None:
    run.add_trial(build_trial(round=3, cell="grpc+json", finish=Percentiles(p50_us=5301, p99_us=math.inf)), {})
    row = run.trials().iloc[0]
    assert (row["round"], row["cell"], row["finish_p50_us"], row["finish_p99_us"]) == (3, "grpc+json", 5301, math.inf)
    assert math.isnan(row["finish_p999_us"])
    assert row["valid"]


def test_cells_of_percentiles_are_integers_empty_or_inf(run: RunFolder) -> None:
    run.add_trial(build_trial(finish=Percentiles(p50_us=5301, p99_us=math.inf, max_us=math.inf)), {})
    header, line = (run.path / "trials.csv").read_text().splitlines()
    row = dict(zip(header.split(","), line.split(","), strict=True))
    assert [row[f"finish_{name}_us"] for name in ("p50", "p90", "p99", "p999", "max")] == ["5301", "", "inf", "", "inf"]


def test_a_client_called_none_is_not_taken_for_a_missing_one(run: RunFolder) -> None:
    run.add_trial(build_trial(security="none", client="NA"), {})
    assert run.trials()["client"].iloc[0] == "NA"


def test_a_run_without_trials_has_an_empty_table(run: RunFolder) -> None:
    assert list(run.trials().columns) == list(trial_columns())
    assert run.summary()["cells"] == []


def test_a_half_written_row_is_ignored_and_then_overwritten(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    with (run.path / "trials.csv").open("a") as file:
        file.write("2,1,rest,re")
    assert len(run.trials()) == 1
    RunFolder.open(run.path).add_trial(build_trial(round=2), {})
    assert list(run.trials()["round"]) == [1, 2]


def test_histograms_are_tagged_with_their_trial(run: RunFolder) -> None:
    run.add_trial(build_trial(round=2, slot=5), {"finish": build_histogram(5.0)})
    assert [(trial, series) for trial, series, _ in run.histograms()] == [("r2-s5-rest", "finish")]


def test_percentiles_are_kept_with_what_they_may_be(run: RunFolder) -> None:
    run.add_trial(
        build_trial(round=2, slot=5),
        {},
        intervals=compute_percentile_intervals("finish", build_histogram(5.0), censored=3),
    )
    lines = pd.read_csv(run.path / "percentiles.csv", dtype=str, keep_default_na=False).to_dict("records")
    assert [(line["round"], line["slot"], line["cell"], line["series"]) for line in lines] == [
        ("2", "5", "rest", "finish")
    ] * 4
    assert [line["quantile"] for line in lines] == ["p50", "p90", "p99", "p999"]
    assert {line["censored"] for line in lines} == {"3"}


def test_the_words_of_a_caveat_stand_in_the_manifest_and_its_name_in_the_row(run: RunFolder) -> None:
    run.add_trial(build_trial(caveats=(not_steady(10.0),)), {})
    assert run.trials()["caveats"].iloc[0] == "unsteady"
    kept = RunFolder.open(run.path).manifest["caveats"]
    assert [(entry["name"], entry["trial"]) for entry in kept] == [("unsteady", "r1-s1-rest")]


def test_the_manifest_keeps_what_is_not_changed(run: RunFolder) -> None:
    run.update_manifest(skipped={"events": "no Java"})
    manifest = RunFolder.open(run.path).manifest
    assert (manifest["seed"], manifest["skipped"], manifest["schema_version"]) == (
        7,
        {"events": "no Java"},
        SCHEMA_VERSION,
    )


def test_a_full_disk_is_said_in_a_sentence(run: RunFolder) -> None:
    (run.path / "histograms.hlog").symlink_to("/dev/full")
    with pytest.raises(ResultsError, match="the disk is full"):
        run.add_trial(build_trial(), {"finish": build_histogram(5.0)})


def test_a_run_of_an_older_schema_does_not_go_on(run: RunFolder) -> None:
    run.update_manifest(schema_version=2)
    with pytest.raises(ResultsError) as refused:
        RunFolder.resume(run.path)
    assert refused.value.code == "older-schema"


def test_two_processes_do_not_add_to_one_run(run: RunFolder) -> None:
    with run.alone(), pytest.raises(ResultsError, match="is being measured by another process"), run.alone():
        pass
    with run.alone():
        pass


def test_a_newer_schema_is_refused(run: RunFolder) -> None:
    run.update_manifest(schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(ResultsError) as refused:
        RunFolder.open(run.path)
    assert refused.value.code == "newer-schema"


def test_a_missing_run_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="has no results"):
        RunFolder.open(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema_version": "x"}', "\xff"])
def test_a_damaged_manifest_is_said_in_a_sentence(run: RunFolder, content: str) -> None:
    (run.path / "manifest.json").write_text(content, "latin-1")
    with pytest.raises(ResultsError, match=r"manifest\.json is damaged"):
        RunFolder.open(run.path)


def test_a_damaged_table_is_said_in_a_sentence(run: RunFolder) -> None:
    with (run.path / "trials.csv").open("a") as file:
        file.write("one,two\n")
    with pytest.raises(ResultsError, match=r"trials\.csv is damaged"):
        run.trials()


def test_a_run_id_is_not_used_twice(run: RunFolder) -> None:
    with pytest.raises(ResultsError, match="is there already"):
        RunFolder.create(run.path.parent, "run-1", {})


def test_the_summary_has_medians_with_intervals_from_six_rounds(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    run.write_summary()
    summary = json.loads((run.path / "summary.json").read_text())
    metric = {cell["cell"]: cell for cell in summary["cells"]}["broker"]["metrics"]["finish_p50_us"]
    trials = run.trials()
    values = trials.loc[trials["cell"] == "broker", "finish_p50_us"]
    assert (metric["estimate"], metric["low"], metric["high"]) == (values.median(), values.min(), values.max())


def test_an_aa_run_keeps_its_table_with_the_summary(run: RunFolder) -> None:
    run.update_manifest(profile={"arms": 2})
    run.write_summary()  # of a run that was stopped before its first trial
    for round_ in range(1, 7):
        for slot, arm in enumerate("ab", 1):
            run.add_trial(build_trial(round=round_, slot=slot, cell=f"rest:{arm}"), {})
    shown = run.aa()
    run.write_summary()
    assert list(pd.read_csv(run.path / "aa.csv")["metric"]) == list(shown["metric"])


def test_trials_that_are_not_valid_count_as_losses_and_not_as_speed(run: RunFolder) -> None:
    for round_ in (1, 2):
        run.add_trial(build_trial(round=round_), {})
    run.add_trial(build_trial(round=3, complete=False, valid=False, failed=300, finish=Percentiles(p50_us=1)), {})
    (cell,) = run.summary()["cells"]
    assert (cell["trials"], cell["valid_trials"], cell["orders"]["failed"]) == (3, 2, 300)
    assert cell["metrics"]["finish_p50_us"]["estimate"] == 5300
    assert cell["metrics"]["finish_p50_us"]["reason"] == "95% need 6 rounds, there are 2"


def test_a_cell_is_invalid_when_more_than_a_third_of_its_trials_are(run: RunFolder) -> None:
    for number in range(1, 7):
        run.add_trial(build_trial(round=number, valid=number > 2), {})
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc", valid=number > 3), {})
    assert [cell["valid"] for cell in run.summary()["cells"]] == [True, False]


def test_an_invalid_cell_is_shown_over_all_trials_that_brought_numbers(run: RunFolder) -> None:
    for number in range(1, 7):
        run.add_trial(build_trial(round=number, valid=False, finish=Percentiles(p50_us=1000 * number)), {})
    run.add_trial(build_trial(round=7, valid=False, complete=False, finish=Percentiles(p50_us=9_000_000)), {})
    run.add_trial(build_trial(round=8, valid=False, complete=False, planned=0, finish=Percentiles()), {})
    (cell,) = run.summary()["cells"]
    assert (cell["complete_trials"], cell["valid_trials"], cell["shown_trials"]) == (6, 0, 7)
    assert cell["metrics"]["finish_p50_us"]["estimate"] == 4000


def test_a_trial_with_orders_that_failed_counts_with_them_as_infinitely_slow(run: RunFolder) -> None:
    for number in range(1, 7):
        lost = number <= 4
        finish = Percentiles(p50_us=5000, p99_us=math.inf if lost else 9000)
        run.add_trial(build_trial(round=number, complete=not lost, failed=9 * lost, finish=finish), {})
    (cell,) = run.summary()["cells"]
    assert cell["valid"]
    assert cell["metrics"]["finish_p50_us"]["estimate"] == 5000
    assert cell["metrics"]["finish_p99_us"]["estimate"] == "inf"


@pytest.mark.parametrize("invalid", ["rest", "grpc"])
def test_an_invalid_cell_is_never_compared(run: RunFolder, invalid: str) -> None:
    for number in range(1, 7):
        for slot, cell in enumerate(("rest", "grpc"), 1):
            valid = cell != invalid or number == 1
            run.add_trial(build_trial(round=number, slot=slot, cell=cell, transport=cell, valid=valid), {})
    assert run.summary()["ratios"] == []


def test_a_censored_estimate_is_the_string_inf(run: RunFolder) -> None:
    run.add_trial(build_trial(finish=Percentiles(p99_us=math.inf)), {})
    run.write_summary()
    (cell,) = json.loads((run.path / "summary.json").read_text())["cells"]
    assert cell["metrics"]["finish_p99_us"]["estimate"] == "inf"


def test_ratios_pair_the_trials_of_a_round(run: RunFolder) -> None:
    for number, luck in enumerate((1, 5, 2), 1):
        run.add_trial(build_trial(round=number, finish=Percentiles(p50_us=1000 * luck)), {})
        slower = Percentiles(p50_us=1500 * luck)
        run.add_trial(build_trial(round=number, slot=2, cell="events", transport="events", finish=slower), {})
    (ratio,) = run.summary()["ratios"]
    assert (ratio["cell"], ratio["base"]) == ("events", "rest")
    assert ratio["metrics"]["finish_p50_us"]["estimate"] == pytest.approx(1.5)


def test_a_method_without_retries_has_a_ratio_to_a_rest_that_asks_again(run: RunFolder) -> None:
    run.add_trial(build_trial(retries=3), {})
    run.add_trial(build_trial(slot=2, cell="broker", transport="broker"), {})
    assert [ratio["cell"] for ratio in run.summary()["ratios"]] == ["broker"]


def test_of_several_numbers_of_retries_each_is_set_against_the_same(run: RunFolder) -> None:
    for slot, (transport, retries) in enumerate((t, n) for n in (0, 3) for t in ("rest", "grpc")):
        run.add_trial(build_trial(slot=slot, cell=f"{transport}@{retries}", transport=transport, retries=retries), {})
    assert [(ratio["cell"], ratio["base"]) for ratio in run.summary()["ratios"]] == [
        ("grpc@0", "rest@0"),
        ("grpc@3", "rest@3"),
    ]


@pytest.mark.parametrize(
    "other",
    [{"durability": "safe"}, {"security": "tls"}, {"store": "sqlite"}, {"processes": 2}, {"fault": "stop-payment"}],
    ids=str,
)
def test_there_is_no_ratio_across_what_is_promised_and_what_it_is_done_with(
    run: RunFolder, other: dict[str, Any]
) -> None:
    run.add_trial(build_trial(), {})
    run.add_trial(build_trial(slot=2, cell="grpc", transport="grpc", **other), {})
    assert run.summary()["ratios"] == []


def test_a_method_is_set_against_rest_at_its_own_level_of_security(run: RunFolder) -> None:
    for slot, (level, transport) in enumerate((s, t) for s in ("none", "tls") for t in ("rest", "events")):
        run.add_trial(build_trial(slot=slot, cell=f"{transport}@{level}", transport=transport, security=level), {})
    found = run.summary()["ratios"]
    assert [(ratio["cell"], ratio["base"]) for ratio in found] == [
        ("events@none", "rest@none"),
        ("events@tls", "rest@tls"),
    ]


def test_another_client_of_rest_has_a_ratio_to_its_own_one(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.add_trial(build_trial(slot=2, cell="rest:httpx", client="httpx"), {})
    assert [(ratio["cell"], ratio["base"]) for ratio in run.summary()["ratios"]] == [("rest:httpx", "rest")]


def test_in_a_run_of_schema_1_valid_trials_are_the_complete_ones(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.add_trial(build_trial(round=2, valid=False), {})
    run.update_manifest(schema_version=1)
    lines = [line.split(",") for line in (run.path / "trials.csv").read_text().splitlines()]
    at = lines[0].index("complete")
    (run.path / "trials.csv").write_text("".join(",".join(line[:at] + line[at + 1 :]) + "\n" for line in lines))
    assert list(RunFolder.open(run.path).trials()["complete"]) == [True, False]


def a_step(number: int, service: str, part: str, mean_us: float) -> HopRow:
    return HopRow(number=number, service=service, message="m", part=part, n=7, mean_us=mean_us, p50_us=mean_us)


def test_hops_are_read_back_in_the_order_of_the_cells(run: RunFolder) -> None:
    run.update_manifest(cells=[{"name": "rest"}, {"name": "grpc"}])
    for slot, cell in ((1, "grpc"), (2, "rest")):
        run.add_trial(build_trial(cell=cell, slot=slot), {}, [a_step(1, "user", "wait", 3.5 * slot)])
    assert [tuple(row) for row in run.hops()[["cell", "service", "mean_us"]].to_numpy()] == [
        ("rest", "user", 7.0),
        ("grpc", "user", 3.5),
    ]


def test_hops_of_an_older_run_say_nothing_of_the_loop(run: RunFolder) -> None:
    run.add_trial(build_trial(), {}, [a_step(1, "user", "wait", 3.5)])
    path = run.path / "hops.csv"
    older = [line.split(",")[:10] for line in path.read_text().splitlines()]
    assert older[0][-1] == "p50_us"
    path.write_text("".join(f"{','.join(cells)}\n" for cells in older))
    [row] = run.hops().to_dict("records")
    assert (row["mean_us"], row["n"]) == (3.5, 7)
    assert pd.isna(row["loop_us"])


def test_what_a_kill_left_of_a_trial_without_its_row_goes_when_the_run_goes_on(run: RunFolder) -> None:
    whole = (
        {"finish": build_histogram(5.0)},
        [a_step(1, "user", "wait", 1.0)],
        compute_percentile_intervals("finish", build_histogram(5.0)),
    )
    run.add_trial(build_trial(), *whole)
    files = [path for path in run.path.iterdir() if path.suffix in (".csv", ".hlog")]
    before = {path: path.read_bytes() for path in files}
    rows = (run.path / "trials.csv").read_bytes()
    run.add_trial(build_trial(round=2), *whole)
    (run.path / "trials.csv").write_bytes(rows)
    assert len({path.name for path in files}) == 4
    assert run.drop_unmeasured() == []
    assert {path: path.read_bytes() for path in files} == before


def test_a_trial_that_brought_nothing_goes_with_its_doubts_when_the_run_goes_on(run: RunFolder) -> None:
    run.add_trial(build_trial(caveats=(not_steady(10.0),)), {"finish": build_histogram(5.0)})
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.suffix in (".csv", ".hlog")}
    lost = Caveat("failed", "rest: load worker 7 ended", "read the logs")
    run.add_trial(build_trial(round=2, planned=0, valid=False, caveats=(lost,)), {"finish": build_histogram(5.0)})
    assert run.describe_disqualified() == ["round 2 of rest (failed)"]
    assert run.drop_unmeasured() == ["r2-s1-rest: rest: load worker 7 ended"]
    assert {path: path.read_bytes() for path in before} == before
    assert [entry["name"] for entry in RunFolder.open(run.path).manifest["caveats"]] == ["unsteady"]


def test_slices_are_read_back_with_the_validity_of_their_cell(run: RunFolder) -> None:
    run.add_slices([build_slice(slice=1), build_slice(slice=2, left=3), build_slice(round=2)])
    run.add_trial(build_trial(valid=False), {})
    found = run.slices()
    assert list(found["slice"]) == [1, 2]
    assert list(found["left"]) == [0, 3]
    assert list(found["valid"]) == [False, False]
    assert list(found["finish_p50_us"]) == [5001, 5001]
    assert found["finish_p99_us"].isna().all()


def test_a_run_without_slices_has_none(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    assert run.slices().empty


def test_a_half_written_slice_is_ignored(run: RunFolder) -> None:
    run.add_slices([build_slice()])
    with (run.path / "slices.csv").open("a") as file:
        file.write("1,1,rest,2,9")
    run.add_trial(build_trial(), {})
    assert len(run.slices()) == 1


def test_a_set_that_lacks_a_cell_goes_as_a_whole_when_the_run_goes_on(tmp_path: Path) -> None:
    manifest = {"profile": {"slice_s": 0.5}, "cells": [{"name": "rest"}, {"name": "grpc"}]}
    run = RunFolder.create(tmp_path, "run-1", manifest)
    for set_ in (1, 2):
        run.add_slices([build_slice(round=set_, slot=slot, cell=cell) for slot, cell in ((1, "rest"), (2, "grpc"))])
        run.add_trial(build_trial(round=set_), {"finish": build_histogram(5.0)})
        if set_ == 1:
            run.add_trial(build_trial(slot=2, cell="grpc"), {"finish": build_histogram(5.0)})
    assert run.drop_unmeasured() == []
    assert list(run.trials()["round"]) == [1, 1]
    assert list(pd.read_csv(run.path / "slices.csv")["round"]) == [1, 1]
    assert {trial for trial, _, _ in run.histograms()} == {"r1-s1-rest", "r1-s2-grpc"}


def test_a_trial_without_a_row_has_no_hops(run: RunFolder) -> None:
    run.add_trial(build_trial(), {}, [a_step(1, "user", "wait", 1.0)])
    rows = (run.path / "trials.csv").read_bytes()
    run.add_trial(build_trial(round=2), {}, [a_step(1, "user", "wait", 2.0)])
    (run.path / "trials.csv").write_bytes(rows)
    assert list(run.hops()["mean_us"]) == [1.0]


def test_a_window_in_which_no_order_came_is_not_measured_again_since_none_would_come(run: RunFolder) -> None:
    run.add_trial(build_trial(planned=0, valid=False, caveats=(no_orders(0.1, 1.0),)), {})
    assert run.describe_disqualified() == ["round 1 of rest (empty)"]
    assert run.drop_unmeasured() == []
    assert len(run.trials()) == 1


def test_histograms_are_dated_by_the_opening_of_the_window(run: RunFolder) -> None:
    run.add_trial(build_trial(opened_epoch_ms=1_764_000_000_123), {"finish": build_histogram(5.0)})
    line = (run.path / "histograms.hlog").read_text().splitlines()[-1]
    assert line.split(",")[1] == "1764000000.123"
    assert run.trials()["opened_epoch_ms"].iloc[0] == 1_764_000_000_123


def test_a_trial_that_is_only_doubtful_is_not_broken(run: RunFolder) -> None:
    run.add_trial(build_trial(valid=False, caveats=(not_steady(10.0),)), {})
    assert run.describe_disqualified() == []


def test_without_stamps_there_are_no_hops(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    assert run.hops().empty
