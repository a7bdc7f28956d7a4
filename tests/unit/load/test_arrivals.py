"""Tests arrival schedules: constant, Poisson, steps, bursts and edited rates."""

import itertools
import math
import statistics
from collections.abc import Callable

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.workload.arrivals import Arrivals, Schedule, generate_poisson_arrivals
from bench.load.workload.shape import STEADY_RATE, RateBurst, RateShape, RateStep

S = 1_000_000_000
few = settings(max_examples=40, deadline=None)


def taken(schedule: Schedule, until_ns: float = math.inf) -> list[int]:
    offsets = []
    while schedule.due_ns is not None and schedule.due_ns < until_ns:
        offsets.append(schedule.due_ns)
        schedule.take()
    return offsets


def test_constant_arrivals_are_evenly_spaced() -> None:
    schedule = Schedule("constant", seed="1", orders_per_s=10, duration_s=1)
    assert taken(schedule) == [50_000_000 + 100_000_000 * n for n in range(10)]


def test_two_workers_with_constant_arrivals_take_turns() -> None:
    one = Schedule("constant", seed="1", orders_per_s=10, duration_s=1, phase=0.25)
    other = Schedule("constant", seed="1", orders_per_s=10, duration_s=1, phase=0.75)
    together = sorted(taken(one) + taken(other))
    assert {b - a for a, b in itertools.pairwise(together)} == {50_000_000}


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() -> None:
    units = list(itertools.islice(generate_poisson_arrivals("42"), 50_000))
    gaps = [b - a for a, b in itertools.pairwise(units)]
    assert statistics.fmean(gaps) == pytest.approx(1, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(1, rel=0.03)


def test_the_same_seed_gives_the_same_plan_and_hash() -> None:
    one, other = (Schedule("poisson", seed="1", orders_per_s=100, duration_s=5, note="x") for _ in range(2))
    assert one.plan == other.plan
    assert one.plan is not None
    assert taken(one) == list(one.plan.offsets_ns)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "2"},
        {"orders_per_s": 101},
        {"duration_s": 5.001},
        {"note": "y"},
        {"arrivals": "constant"},
        {"shape": RateStep()},
        {"shape": RateBurst()},
        {"arrivals": "replay", "trace_ns": [S, 2 * S]},
    ],
)
def test_another_plan_has_another_hash(change: dict[str, object]) -> None:
    base: dict[str, object] = {"arrivals": "poisson", "seed": "1", "orders_per_s": 100, "duration_s": 5, "note": "x"}
    plans = [Schedule(**given).plan for given in (base, {**base, **change})]  # type: ignore[arg-type]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].hash != plans[1].hash


def test_a_plan_and_an_endless_schedule_are_the_same_arrivals() -> None:
    planned = Schedule("poisson", seed="1", orders_per_s=100, duration_s=2)
    endless = Schedule("poisson", seed="1", orders_per_s=100)
    assert endless.plan is None
    assert taken(planned) == taken(endless, until_ns=2 * S)


def test_a_rate_edited_at_the_same_instants_gives_the_same_arrivals() -> None:
    def edited(duration_s: float | None) -> list[int]:
        schedule = Schedule("poisson", seed="1", orders_per_s=100, duration_s=duration_s)
        offsets = taken(schedule, until_ns=S)
        schedule.change(300, S)
        return offsets + taken(schedule, until_ns=2 * S)

    assert edited(None) == edited(None) == edited(2)


def test_an_edited_rate_changes_the_number_of_arrivals_in_proportion() -> None:
    schedule = Schedule("constant", seed="1", orders_per_s=100)
    before = taken(schedule, until_ns=S)
    schedule.change(300, S)
    after = taken(schedule, until_ns=2 * S)
    assert (len(before), len(after)) == (100, 300)
    assert min(after) >= S


def test_a_rate_of_nothing_pauses_until_it_is_edited() -> None:
    schedule = Schedule("constant", seed="1", orders_per_s=10)
    taken(schedule, until_ns=S)
    schedule.change(0, S)
    assert schedule.due_ns is None
    schedule.change(10, 5 * S)
    assert schedule.due_ns == 5 * S + 50_000_000


@settings(deadline=None)
@given(
    edits=st.lists(st.tuples(st.floats(0.001, 2), st.floats(0, 500)), max_size=5),
    arrivals=st.sampled_from(["poisson", "constant"]),
)
def test_arrivals_never_go_back_whatever_is_edited(edits: list[tuple[float, float]], arrivals: str) -> None:
    schedule = Schedule(arrivals, seed="1", orders_per_s=50)  # type: ignore[arg-type]
    offsets, now_ns = [], 0
    for after_s, orders_per_s in edits:
        now_ns += int(after_s * S)
        offsets += taken(schedule, until_ns=now_ns)
        schedule.change(orders_per_s, now_ns)
        # A nanosecond is the rounding of an arrival that falls on the edit itself.
        assert schedule.due_ns is None or schedule.due_ns >= now_ns - 1
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("orders_per_s", [-1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(orders_per_s: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Schedule("poisson", seed="1", orders_per_s=orders_per_s)


def test_a_plan_too_large_for_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="make it shorter or slower"):
        Schedule("poisson", seed="1", orders_per_s=100_000, duration_s=86_400)


def test_unknown_arrivals_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no arrivals 'poison'; there are: poisson, constant, step, burst, replay"):
        Schedule("poison", seed="1", orders_per_s=1)  # type: ignore[arg-type]


seeds = st.integers(0, 2**32).map(str)
steps = st.builds(RateStep, factor=st.floats(0, 20), at_s=st.floats(0, 30), for_s=st.floats(0.1, 30))
bursts = st.builds(RateBurst, peak=st.floats(1, 20), period_s=st.floats(0.1, 30))
shapes = st.one_of(st.just(STEADY_RATE), steps, bursts)


@given(shape=shapes, ends=st.lists(st.floats(-20, 100), min_size=2, max_size=2))
def test_the_area_under_a_shape_never_shrinks(shape: RateShape, ends: list[float]) -> None:
    assert shape.area(min(ends)) <= shape.area(max(ends)) + 1e-9


@given(shape=shapes, area=st.floats(-20, 100))
def test_mapping_there_and_back_is_exact(shape: RateShape, area: float) -> None:
    assert shape.area(shape.inverse(area)) == pytest.approx(area, abs=1e-9)


@given(step=steps)
def test_a_step_is_so_many_times_the_rate_and_the_rate_before_and_after(step: RateStep) -> None:
    up_s, down_s = step.at_s, step.at_s + step.for_s
    assert step.area(up_s) == up_s
    assert step.area(down_s) - step.area(up_s) == pytest.approx(step.factor * step.for_s)
    assert step.area(down_s + 7) - step.area(down_s) == pytest.approx(7)


@given(burst=bursts, from_s=st.floats(-20, 20), periods=st.integers(1, 9))
def test_over_whole_periods_bursts_have_the_mean_rate(burst: RateBurst, from_s: float, periods: int) -> None:
    length_s = periods * burst.period_s
    assert burst.area(from_s + length_s) - burst.area(from_s) == pytest.approx(length_s, abs=1e-9)


def test_a_burst_comes_at_the_peak_rate_and_then_nothing_comes() -> None:
    burst = RateBurst(peak=10, period_s=2)
    schedule = Schedule("burst", seed="1", orders_per_s=1000, duration_s=20, shape=burst)
    within_s = [offset_ns / S % 2 for offset_ns in taken(schedule)]
    assert max(within_s) <= 0.2
    assert scipy.stats.kstest(within_s, "uniform", args=(0, 0.2)).pvalue > 0.01


def test_a_silence_is_where_it_was_asked_for() -> None:
    silence = RateStep(factor=0, at_s=3, for_s=3)
    schedule = Schedule("step", seed="1", orders_per_s=1000, duration_s=9, shape=silence)
    offsets_s = [offset_ns / S for offset_ns in taken(schedule)]
    gap_s, end_s = max((b - a, b) for a, b in itertools.pairwise(offsets_s))
    assert (gap_s, end_s) == (pytest.approx(3, abs=0.02), pytest.approx(6, abs=0.02))


@few
@given(seed=seeds, shape=shapes, orders_per_s=st.floats(0, 500), duration_s=st.floats(0.01, 20))
def test_a_plan_is_sorted_and_lies_before_the_end(
    seed: str, shape: RateShape, orders_per_s: float, duration_s: float
) -> None:
    schedule = Schedule("poisson", seed=seed, orders_per_s=orders_per_s, duration_s=duration_s, shape=shape)
    offsets = taken(schedule)
    assert offsets == sorted(offsets)
    assert all(0 <= offset < duration_s * S for offset in offsets)


@pytest.mark.parametrize(
    "shape", [STEADY_RATE, RateStep(factor=4, at_s=3, for_s=5), RateStep(factor=0), RateBurst(), RateBurst(peak=3)]
)
def test_as_many_orders_come_as_the_integral_of_the_rate_says(shape: RateShape) -> None:
    """Over 40 seeds; a Poisson count of this mean lies within the bounds with 99.9 % probability."""
    rate_per_s, duration_s = 50, 13
    total = sum(
        len(
            taken(
                Schedule(
                    "poisson",
                    seed=str(seed),
                    orders_per_s=rate_per_s,
                    duration_s=duration_s,
                    shape=shape,
                )
            )
        )
        for seed in range(40)
    )
    expected = 40 * rate_per_s * shape.area(duration_s)
    low, high = scipy.stats.poisson.interval(0.999, expected)
    assert low <= total <= high


@few
@given(shape=shapes, edits=st.lists(st.tuples(st.integers(1, 2 * S), st.floats(0, 100)), max_size=4))
def test_an_edit_goes_on_with_the_unit_process_whether_planned_or_not(
    shape: RateShape, edits: list[tuple[int, float]]
) -> None:
    """Undone by the integral of what was asked, the arrivals are the seed's own."""

    def edited(duration_s: float | None) -> list[int]:
        schedule = Schedule("poisson", seed="9", orders_per_s=20, duration_s=duration_s, shape=shape)
        offsets, now_ns = [], 0
        for after_ns, orders_per_s in edits:
            now_ns += after_ns
            offsets += taken(schedule, until_ns=now_ns)
            schedule.change(orders_per_s, now_ns)
        return offsets + taken(schedule, until_ns=10 * S)

    def units(offset_ns: int) -> float:
        at_s = offset_ns / S
        total, since_s, rate = 0.0, 0.0, 20.0
        now_ns = 0
        for after_ns, orders_per_s in edits:
            now_ns += after_ns
            if now_ns / S >= at_s:
                break
            total += rate * (shape.area(now_ns / S) - shape.area(since_s))
            since_s, rate = now_ns / S, orders_per_s
        return total + rate * (shape.area(at_s) - shape.area(since_s))

    offsets = edited(None)
    assert offsets == edited(10) == edited(None)
    seeded = itertools.islice(generate_poisson_arrivals("9"), len(offsets))
    # Times are whole nanoseconds, and there are at most 20 * 100 orders in a second.
    assert [units(offset) for offset in offsets] == pytest.approx(list(seeded), abs=1e-4)


TRACE = [0, S // 2, S // 2, 3 * S]


def test_a_trace_is_kept_to_the_nanosecond_up_to_its_last_order() -> None:
    schedule = Schedule("replay", seed="1", orders_per_s=1.3, duration_s=3, trace_ns=TRACE)
    assert taken(schedule) == TRACE


def test_an_edit_to_twice_the_rate_plays_a_trace_twice_as_fast() -> None:
    schedule = Schedule("replay", seed="1", orders_per_s=1.3, duration_s=3, trace_ns=TRACE)
    taken(schedule, until_ns=S)
    schedule.change(2.6, S)
    assert taken(schedule) == [2 * S]


@pytest.mark.parametrize("arrivals", ["poisson", "replay"])
def test_an_endless_schedule_of_nothing_has_nothing_in_sight(arrivals: Arrivals) -> None:
    assert Schedule(arrivals, seed="1", orders_per_s=0).due_ns is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RateStep(factor=-1), "0 or more times the rate"),
        (lambda: RateStep(for_s=0), "begins at 0 s or later and lasts"),
        (lambda: RateBurst(peak=0.5), "1 or more times the mean rate"),
        (lambda: RateBurst(period_s=math.nan), "positive number of seconds"),
    ],
)
def test_a_shape_that_is_none_is_refused(make: Callable[[], RateShape], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
