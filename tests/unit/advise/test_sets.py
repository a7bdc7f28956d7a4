"""Tests that advice from a run in sets has the intervals of sets."""

from pathlib import Path

import pytest

from bench.advise.evidence import HEADLINE, TOTAL_CPU, collect_evidence
from bench.advise.nearest import find_comparisons
from bench.advise.question import parse_question
from bench.results.store import RunFolder
from tests.unit.builders import add_set, build_set_run


def build_run(folder: Path, sets: int = 4) -> RunFolder:
    run = build_set_run(folder, sets=0)
    for number in range(1, sets + 1):
        add_set(run, number, arrivals="poisson")
    return run


@pytest.mark.parametrize(("sets", "has_interval"), [(3, False), (4, True)])
def test_four_sets_are_enough_for_an_interval(tmp_path: Path, sets: int, has_interval: bool) -> None:
    evidence = collect_evidence({"mine": build_run(tmp_path, sets).path})
    assert {point.has_interval for point in evidence.points} == {has_interval}


def test_a_ratio_is_that_of_the_runs_own_summary(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    (view, *_) = find_comparisons(parse_question({}), collect_evidence({"mine": run.path}))
    told = {ratio["cell"]: ratio["metrics"][HEADLINE] for ratio in run.summary()["ratios"]}
    for method in ("grpc", "broker", "events"):
        ratio = view.ratio(HEADLINE, method, "rest")
        assert ratio.low is not None
        assert (ratio.value, ratio.low) == pytest.approx((told[method]["estimate"], told[method]["low"]))


def test_the_cpu_of_services_and_broker_together_is_a_measure_of_sets_too(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    (view, *_) = find_comparisons(parse_question({}), collect_evidence({"mine": run.path}))
    trials = run.trials().set_index(["cell", "round"])
    both = (trials["cpu_us_per_order_services"] + trials["cpu_us_per_order_broker"].fillna(0)).unstack("round")
    mean = (both.loc["grpc"] / both.loc["rest"]).prod() ** (1 / 4)
    assert view.ratio(TOTAL_CPU, "grpc", "rest").value == pytest.approx(mean)
