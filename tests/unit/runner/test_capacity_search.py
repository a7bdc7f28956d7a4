"""Tests the capacity search against simulated servers of known capacity."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.runner.capacity_search import (
    ProbeOutcome,
    RateProbe,
    RateProbeResult,
    SearchResult,
    SearchSettings,
    find_next_step,
)

Server = Callable[[float], ProbeOutcome]
OUTCOMES: tuple[ProbeOutcome, ...] = get_args(ProbeOutcome)


def searched(server: Server, settings: SearchSettings) -> tuple[SearchResult, list[RateProbeResult]]:
    history: list[RateProbeResult] = []
    while isinstance(step := find_next_step(history, settings), RateProbe):
        history.append(RateProbeResult(step, server(step.per_s)))
    return step, history


def up_to(capacity_per_s: float, generator_per_s: float = math.inf) -> Server:
    """Passes up to its capacity exactly. Above its own limit the generator does not keep up."""

    def outcome(per_s: float) -> ProbeOutcome:
        return "generator" if per_s > generator_per_s else "pass" if per_s <= capacity_per_s else "fail"

    return outcome


def mm1(served_per_s: float, slo_s: float, draw: numpy.random.Generator, orders: int = 30_000) -> Server:
    """One exponential server, simulated; p99 of the response is to stay under the SLO."""

    def outcome(per_s: float) -> ProbeOutcome:
        came = numpy.cumsum(draw.exponential(1 / per_s, orders))
        service = draw.exponential(1 / served_per_s, orders)
        busy = numpy.cumsum(service)
        left = busy + numpy.maximum.accumulate(came - (busy - service))  # Lindley's recursion, solved
        return "pass" if numpy.sort(left - came)[math.ceil(0.99 * orders) - 1] <= slo_s else "fail"

    return outcome


def by_chance(seed: int) -> Server:
    draw = random.Random(seed)
    return lambda _: draw.choice(OUTCOMES)


def rates(history: list[RateProbeResult]) -> set[float]:
    return {tried.probe.per_s for tried in history}


@pytest.mark.parametrize("start_per_s", [10, 100, 500, 5000])
@pytest.mark.parametrize("capacity_per_s", [37, 412, 1000, 2345.6])
def test_a_known_capacity_is_found_within_three_percent_and_fifteen_rates(
    capacity_per_s: float, start_per_s: float
) -> None:
    done, history = searched(up_to(capacity_per_s), SearchSettings(start_per_s=start_per_s))
    assert done.answer == "capacity"
    assert done.last_pass_per_s is not None
    assert done.first_fail_per_s is not None
    assert capacity_per_s / 1.0305 <= done.last_pass_per_s <= capacity_per_s < done.first_fail_per_s
    assert done.first_fail_per_s <= done.last_pass_per_s * 1.0305
    assert len(rates(history)) <= 15


@given(st.floats(1.1, 5000), st.floats(1, 5000), st.floats(1, 5000))
def test_the_answer_does_not_depend_on_where_the_search_began(capacity: float, one: float, other: float) -> None:
    found = [searched(up_to(capacity), SearchSettings(start_per_s=start, most_rates=30))[0] for start in (one, other)]
    assert found[0] == found[1]


def test_simulated_queues_have_the_capacity_that_theory_gives_them() -> None:
    # The response of M/M/1 is exponential with rate mu - lambda (Kleinrock, Queueing Systems I, 1975, section 5.12).
    errors = []
    for seed in range(15):
        draw = numpy.random.default_rng(seed)
        served_per_s, slo_s = float(draw.uniform(500, 2000)), 0.05
        done, history = searched(mm1(served_per_s, slo_s, draw), SearchSettings(start_per_s=100))
        assert done.answer == "capacity"
        assert done.last_pass_per_s is not None
        assert len(rates(history)) <= 15
        errors.append(abs(done.last_pass_per_s / (served_per_s - math.log(100) / slo_s) - 1))
    assert sum(error <= 0.03 for error in errors) >= 13
    assert max(errors) <= 0.06


def test_a_rate_is_tried_twice_and_a_third_time_only_when_the_two_disagree() -> None:
    settings = SearchSettings(start_per_s=100)
    history = [RateProbeResult(next_probe([], settings), "pass")]
    assert find_next_step(history, settings) == history[0].probe
    assert next_probe([*history, RateProbeResult(history[0].probe, "pass")], settings).per_s > 190
    undecided = [*history, RateProbeResult(history[0].probe, "fail")]
    assert find_next_step(undecided, settings) == history[0].probe
    assert next_probe([*undecided, RateProbeResult(history[0].probe, "pass")], settings).per_s > 190
    assert next_probe([*undecided, RateProbeResult(history[0].probe, "fail")], settings).per_s < 55
    assert next_probe([*undecided, RateProbeResult(history[0].probe, "generator")], settings).per_s < 55


def next_probe(history: list[RateProbeResult], settings: SearchSettings) -> RateProbe:
    step = find_next_step(history, settings)
    assert isinstance(step, RateProbe)
    return step


def test_one_trial_that_goes_the_wrong_way_does_not_change_the_answer() -> None:
    settings = SearchSettings(start_per_s=100)
    expected, history = searched(up_to(700), settings)
    for wrong in range(len(history)):
        true = [up_to(700)] * 100
        true[wrong] = lambda per_s: "fail" if up_to(700)(per_s) == "pass" else "pass"
        servers = iter(true)
        found, _ = searched(lambda per_s, servers=servers: next(servers)(per_s), settings)  # type: ignore[misc]
        assert replace(found, reason="") == replace(expected, reason="")


def test_chance_near_the_edge_leaves_the_answer_near_it() -> None:
    found = []
    for seed in range(50):
        draw = random.Random(seed)

        def chance(per_s: float, draw: random.Random = draw) -> ProbeOutcome:
            return "pass" if draw.random() < 1 / (1 + math.exp((per_s / 700 - 1) / 0.01)) else "fail"

        done, _ = searched(chance, SearchSettings(start_per_s=100))
        assert done.last_pass_per_s is not None
        found.append(done.last_pass_per_s)
    assert sorted(found)[25] == pytest.approx(700, rel=0.04)
    assert min(found) >= 700 * 0.9
    assert max(found) <= 700 * 1.03


def test_the_answer_is_confirmed_by_three_trials_and_steps_down_when_two_do_not_pass() -> None:
    settings = SearchSettings(start_per_s=100)
    expected, history = searched(up_to(700), settings)
    answer = history[-1].probe
    assert history[-3:] == [RateProbeResult(RateProbe(expected.last_pass_per_s or 0, "confirm"), "pass")] * 3
    assert "3 of 3" in expected.reason
    once = find_next_step([*history[:-2], RateProbeResult(answer, "fail"), RateProbeResult(answer, "pass")], settings)
    assert isinstance(once, SearchResult)
    assert once.last_pass_per_s == answer.per_s
    assert "2 of 3" in once.reason
    twice = [*history[:-3], *[RateProbeResult(answer, "fail")] * 2]
    below = next_probe(twice, settings)
    assert below.kind == "confirm"
    assert below.per_s == pytest.approx(answer.per_s / 1.03, rel=1e-3)
    done = find_next_step([*twice, *[RateProbeResult(below, "pass")] * 3], settings)
    assert isinstance(done, SearchResult)
    assert (done.last_pass_per_s, done.first_fail_per_s) == (below.per_s, answer.per_s)


def test_a_generator_that_does_not_keep_up_is_no_failure_of_the_method() -> None:
    done, _ = searched(up_to(5000, generator_per_s=900), SearchSettings(start_per_s=100))
    assert done.answer == "generator-limited"
    assert done.last_pass_per_s == pytest.approx(900, rel=0.03)
    assert done.first_fail_per_s is None
    assert "at least this" in done.reason


def test_a_method_that_fails_below_the_generators_limit_has_a_capacity() -> None:
    done, _ = searched(up_to(500, generator_per_s=900), SearchSettings(start_per_s=2000))
    assert done.answer == "capacity"
    assert done.last_pass_per_s == pytest.approx(500, rel=0.03)


def test_a_generator_that_gives_out_in_the_confirmation_limits_the_answer() -> None:
    settings = SearchSettings(start_per_s=100)
    history = searched(up_to(700), settings)[1][:-3]
    history += [RateProbeResult(next_probe(history, settings), "generator")] * 2
    below = next_probe(history, settings)
    done = find_next_step([*history, *[RateProbeResult(below, "pass")] * 3], settings)
    assert isinstance(done, SearchResult)
    assert (done.answer, done.last_pass_per_s) == ("generator-limited", below.per_s)


@pytest.mark.parametrize(("server", "who"), [(up_to(0), "the method"), (up_to(9, generator_per_s=0), "generator")])
def test_where_nothing_passes_there_is_no_capacity(server: Server, who: str) -> None:
    done, history = searched(server, SearchSettings(start_per_s=100, lowest_per_s=5))
    assert (done.answer, done.last_pass_per_s) == ("none", None)
    assert who in done.reason
    assert min(rates(history)) == pytest.approx(5, rel=0.03)
    assert min(rates(history)) >= 5


def test_a_search_that_starts_far_away_stops_and_says_what_it_knows() -> None:
    done, history = searched(up_to(math.inf), SearchSettings(start_per_s=1, most_rates=4))
    assert done.answer == "unfinished"
    assert len(rates(history)) == 4
    assert done.last_pass_per_s == max(rates(history))
    assert "start nearer" in done.reason


@given(st.integers(0), st.floats(1, 10_000), st.integers(1, 20))
def test_whatever_happens_the_search_ends_and_keeps_to_its_bounds(seed: int, start: float, most_rates: int) -> None:
    settings = SearchSettings(start_per_s=start, most_rates=most_rates)
    done, history = searched(by_chance(seed), settings)
    assert len(rates(history)) <= most_rates
    assert len(history) <= most_rates * (3 + settings.confirmations)
    if done.last_pass_per_s is not None and done.first_fail_per_s is not None:
        assert done.last_pass_per_s < done.first_fail_per_s
    if done.answer in ("capacity", "generator-limited"):
        confirming = RateProbe(done.last_pass_per_s or 0, "confirm")
        assert {tried.probe for tried in history[-3:]} == {confirming}
        assert history[-3:].count(RateProbeResult(confirming, "pass")) >= 2


@given(st.integers(0), st.integers(0, 40))
def test_the_same_history_gives_the_same_step(seed: int, length: int) -> None:
    settings = SearchSettings(start_per_s=100)
    _, history = searched(by_chance(seed), settings)
    assert find_next_step(history[:length], settings) == find_next_step(list(history[:length]), replace(settings))
    if length < len(history):
        assert find_next_step(history[:length], settings) == history[length].probe


def test_a_history_of_other_settings_is_refused() -> None:
    _, history = searched(up_to(700), SearchSettings(start_per_s=100))
    with pytest.raises(ValueError, match="trial 1 "):
        find_next_step(history, SearchSettings(start_per_s=200))
    with pytest.raises(ValueError, match=f"trial {len(history)}$"):
        find_next_step([*history, history[-1]], SearchSettings(start_per_s=100))


@pytest.mark.parametrize(
    "wrong", [{"start_per_s": 0.5}, {"start_per_s": math.inf}, {"precision": 0.0}, {"most_rates": 0}]
)
def test_settings_with_which_it_would_not_end_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a search"):
        SearchSettings(**{"start_per_s": 100.0, **wrong})  # type: ignore[arg-type]
