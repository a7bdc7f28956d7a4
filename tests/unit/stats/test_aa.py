"""Tests A/A runs: intervals, noise, and detection of a known effect."""

import io
import math
import random
import statistics
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.report.terminal.run import AA_METRICS, aa_table
from bench.results.measures import columns_used_in
from bench.stats import aa
from bench.stats.aa import PAIRS_PER_RUN
from bench.stats.paired import paired_ratio

ROUNDS = 180
METRICS = columns_used_in("summary")


def summarise_aa(trials: pd.DataFrame) -> pd.DataFrame:
    return aa.summarise_aa(trials, METRICS)


def bank(slower: float = 1.0, noise: float = 0.05, rounds: int = ROUNDS, **changes: Any) -> pd.DataFrame:
    """Trials of one method in two arms, of which b takes ``slower`` times as long as a."""
    draw = random.Random(3)
    rows = [
        {
            "round": round_,
            "cell": f"rest@{arm}",
            "valid": True,
            "finish_p50_us": 5000 * (slower if arm == "b" else 1.0) * math.exp(draw.gauss(0, noise / math.sqrt(2))),
            "steal_share": 0.0,
            **changes,
        }
        for round_ in range(1, rounds + 1)
        for arm in "ab"
    ]
    return pd.DataFrame(rows)


def the(found: pd.DataFrame, metric: str = "finish_p50_us") -> dict[str, Any]:
    (row,) = found[found["metric"] == metric].to_dict("records")
    return row


def test_of_arms_that_are_the_same_about_95_percent_of_the_intervals_hold_1() -> None:
    row = the(summarise_aa(bank()))
    assert (row["pairs"], row["runs"]) == (ROUNDS, ROUNDS // PAIRS_PER_RUN)
    assert row["held"] >= 26
    assert row["held_low"] < 0.95 < row["held_high"]
    assert row["low"] < 1 < row["high"]


def test_an_arm_that_is_a_fifth_slower_is_found_out() -> None:
    row = the(summarise_aa(bank(slower=1.2)))
    assert row["held"] == 0
    assert row["ratio"] == pytest.approx(1.2, rel=0.02)


@pytest.mark.slow
def test_noise_from_pair_to_pair_is_that_of_the_ratios() -> None:
    assert the(summarise_aa(bank(noise=0.08, rounds=1000)))["pair_noise"] == pytest.approx(0.08, rel=0.1)


def test_an_interval_without_an_end_is_infinitely_wide() -> None:
    trials = bank()
    trials.loc[trials["cell"] == "rest@b", "finish_p50_us"] = math.inf
    assert the(summarise_aa(trials))["half_width"] == math.inf


def test_half_the_width_of_six_rounds_intervals_says_what_they_can_tell() -> None:
    widths = []
    trials = bank(noise=0.1)
    a, b = (list(trials.loc[trials["cell"] == f"rest@{arm}", "finish_p50_us"]) for arm in "ab")
    for at in range(0, ROUNDS, PAIRS_PER_RUN):
        logs = sorted(
            math.log(one / other)
            for one, other in zip(b[at : at + PAIRS_PER_RUN], a[at : at + PAIRS_PER_RUN], strict=True)
        )
        widths.append(math.exp((logs[-1] - logs[0]) / 2) - 1)  # of six, from the least to the most
    assert the(summarise_aa(trials))["half_width"] == pytest.approx(statistics.median(widths))


def test_a_run_is_six_successive_rounds_whatever_the_order_of_the_rows() -> None:
    trials = bank(rounds=13)
    shuffled = trials.sample(frac=1.0, random_state=1)
    assert summarise_aa(shuffled).equals(summarise_aa(trials))
    a, b = (list(trials.loc[trials["cell"] == f"rest@{arm}", "finish_p50_us"]) for arm in "ab")
    runs = [paired_ratio(b[at : at + PAIRS_PER_RUN], a[at : at + PAIRS_PER_RUN]) for at in (0, PAIRS_PER_RUN)]
    held = sum(run.low is not None and run.high is not None and run.low <= 1 <= run.high for run in runs)
    assert (the(summarise_aa(trials))["runs"], the(summarise_aa(trials))["held"]) == (2, held)


def test_a_round_with_an_invalid_trial_is_left_out() -> None:
    trials = bank()
    trials.loc[3, "valid"] = False
    assert the(summarise_aa(trials))["pairs"] == ROUNDS - 1


def test_a_metric_that_is_always_zero_has_no_ratio_and_no_row() -> None:
    assert set(summarise_aa(bank())["metric"]) == {"finish_p50_us"}


def test_a_metric_that_may_be_negative_has_no_ratio_and_no_row() -> None:
    trials = bank()
    trials["littles_law_error"] = [0.01, -0.02] * ROUNDS
    assert set(summarise_aa(trials)["metric"]) == {"finish_p50_us"}


def test_too_few_rounds_for_a_run_still_have_a_ratio() -> None:
    row = the(summarise_aa(bank(rounds=2)))
    assert (row["pairs"], row["runs"], row["held"]) == (2, 0, 0)
    assert row["ratio"] > 0


def test_nothing_valid_is_nothing_to_show() -> None:
    assert summarise_aa(bank(valid=False)).empty


def test_pairs_are_told_apart_by_whether_the_machine_changed_its_speed_between_their_trials() -> None:
    trials = bank(cpu_slowdown=1.0)
    trials.loc[trials["round"] <= 30, "cpu_slowdown"] = 1.6
    trials.loc[(trials["round"] <= 12) & (trials["cell"] == "rest@b"), ["cpu_slowdown", "valid"]] = [1.0, False]
    pairs = {of: the(rows)["pairs"] for of, rows in aa.summarise_aa_by_speed(trials, METRICS).groupby("of")}
    assert pairs == {"all": ROUNDS, "alike": ROUNDS - 12, "changed": 12}


@pytest.mark.parametrize("rounds", [ROUNDS, 2])
def test_the_table_says_how_many_intervals_held(rounds: int) -> None:
    found = summarise_aa(bank(rounds=rounds))
    Console(file=(text := io.StringIO()), width=80).print(aa_table(found))
    row = the(found)
    assert f"{row['held']}/{row['runs']}" in text.getvalue()
    assert ("n/a" in text.getvalue()) is (rounds != ROUNDS)


def test_the_table_fits_eighty_columns_without_cutting_a_name() -> None:
    found = pd.concat([summarise_aa(bank()).assign(metric=metric) for metric in AA_METRICS])
    Console(file=(text := io.StringIO()), width=80).print(aa_table(found))
    assert "…" not in text.getvalue()
    assert all(metric in text.getvalue() for metric in AA_METRICS)
