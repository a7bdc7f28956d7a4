import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.arrivals import Schedule, unit_process

S = 1_000_000_000


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
    units = list(itertools.islice(unit_process("poisson", "42"), 50_000))
    gaps = [b - a for a, b in itertools.pairwise(units)]
    assert statistics.fmean(gaps) == pytest.approx(1, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(1, rel=0.03)


def test_the_same_seed_gives_the_same_plan_and_hash() -> None:
    one, other = (Schedule("poisson", seed="1", orders_per_s=100, duration_s=5, note="x") for _ in range(2))
    assert one.plan == other.plan
    assert one.plan is not None
    assert taken(one) == list(one.plan.offsets_ns)


@pytest.mark.parametrize("change", [{"seed": "2"}, {"orders_per_s": 101}, {"note": "y"}, {"arrivals": "constant"}])
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
    with pytest.raises(ValueError, match="no arrivals 'poison'; there are: poisson, constant"):
        Schedule("poison", seed="1", orders_per_s=1)  # type: ignore[arg-type]
