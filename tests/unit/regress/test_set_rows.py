"""Tests the rows of a set against arithmetic on made-up orders."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from bench.errors import Unmeasured
from bench.regress.duel_set import ArmOutcome, DuelSet, plan_load
from bench.regress.judge_sets import SetRow
from bench.regress.set_file import format_rows, parse_rows
from bench.regress.set_rows import build_rows, find_troubles
from tests.conftest import refuses

SERVICES = ("user", "product", "payment", "shipping")


def build_arm(
    finished_us: Sequence[float | None],
    *,
    taken: int = 10,
    shipped: int = 10,
    loaded_us: list[float] | None = None,
    **turns: Any,
) -> ArmOutcome:
    count = len(finished_us)
    return ArmOutcome(
        turns={
            "finished_us": list(finished_us),
            "accepted_us": [None if one is None else one / 2 for one in finished_us],
            "client_cpu_us": 100.0 * count,
            "broker_cpu_us": 0.0,
            "placed": count,
            "failed": 0,
            "failures": {},
            "unexpected": 0,
            **turns,
        },
        load=None
        if loaded_us is None
        else {"finished_us": loaded_us, "placed": count, "failed": 0, "failures": {}, "unexpected": 0, "unfinished": 0},
        cpu_us=dict.fromkeys(SERVICES, 200.0 * count),
        audits={
            "payment": {"tallies": {"payment-taken": {"count": taken}}},
            "shipping": {"tallies": {"order-shipped": {"count": shipped}}},
        },
    )


def build_set(base: ArmOutcome, head: ArmOutcome, background_cores: float = 0.0) -> DuelSet:
    return DuelSet(base=base, head=head, background_cores=background_cores, sees_background=True, took_s=9.0)


def by_metric(rows: list[SetRow]) -> dict[str, SetRow]:
    return {row.metric: row for row in rows}


BASE = [1000.0 + 10 * one for one in range(50)]


def test_the_ratio_of_medians_is_the_median_of_pairs() -> None:
    head = [one * (1.1 if at % 5 else 3.0) for at, one in enumerate(BASE)]
    row = by_metric(build_rows("rest", 3, "screen", build_set(build_arm(BASE), build_arm(head))))["finish_p50_us"]
    assert (row.method, row.set, row.kind, row.void) == ("rest", 3, "screen", False)
    assert row.ratio == pytest.approx(1.1)
    assert (row.base, row.head) == (median(BASE), median(head))


def test_an_order_that_failed_is_in_no_pair() -> None:
    head: list[float | None] = [one * 1.1 for one in BASE]
    head[7] = None
    found = by_metric(build_rows("rest", 1, "screen", build_set(build_arm(BASE), build_arm(head))))
    assert found["finish_p50_us"].base == median(one for at, one in enumerate(BASE) if at != 7)


def test_costs_are_of_an_order_and_a_cost_of_nothing_has_no_row() -> None:
    found = by_metric(build_rows("rest", 1, "screen", build_set(build_arm(BASE), build_arm(BASE))))
    assert found["cpu_us_services"].base == 800 and found["cpu_us_payment"].head == 200
    assert found["cpu_us_client"].ratio == 1
    assert "cpu_us_broker" not in found and "finish_p99_us_loaded" not in found


def test_loaded_orders_have_their_median_and_p99() -> None:
    loaded = [float(one) for one in range(1, 801)]
    twice = [2 * one for one in loaded]
    played = build_set(build_arm(BASE, loaded_us=loaded), build_arm(BASE, loaded_us=twice))
    found = by_metric(build_rows("rest", 1, "screen", played))
    assert (found["finish_p50_us_loaded"].base, found["finish_p99_us_loaded"].base) == (400, 792)
    assert found["finish_p99_us_loaded"].ratio == 2


@pytest.mark.parametrize(("cores", "void"), [(0.25, False), (0.26, True)])
def test_a_set_is_void_beside_other_programs(cores: float, void: bool) -> None:
    rows = build_rows("rest", 1, "screen", build_set(build_arm(BASE), build_arm(BASE), cores))
    assert {row.void for row in rows} == {void}


def test_too_few_pairs_tell_no_median_and_are_the_slower_arms_doing() -> None:
    played = build_set(build_arm(BASE[:10]), build_arm([one * 1000 for one in BASE[:10]]))
    found = by_metric(build_rows("rest", 1, "screen", played))
    assert "finish_p50_us" not in found and "cpu_us_services" in found
    assert [arm for arm, _ in find_troubles(played)] == ["head"]
    mirrored = build_set(build_arm([None] * 10), build_arm(BASE[:10]))
    assert "base" in [arm for arm, _ in find_troubles(mirrored)]


def test_beside_a_broker_that_cannot_be_seen_no_set_is_void() -> None:
    played = replace(build_set(build_arm(BASE), build_arm(BASE), 1.5), sees_background=False)
    assert {row.void for row in build_rows("broker", 1, "screen", played)} == {False}


def test_what_is_lost_failed_or_charged_twice_is_told_of_its_arm() -> None:
    assert list(find_troubles(build_set(build_arm(BASE), build_arm(BASE)))) == []
    for changes in (
        {"failed": 2, "failures": {"Failed": 2}},
        {"unexpected": 1},
        {"taken": 11},
    ):
        head = build_arm(BASE, **changes)  # type: ignore[arg-type]
        assert [arm for arm, _ in find_troubles(build_set(build_arm(BASE), head))] == ["head"]
        assert [arm for arm, _ in find_troubles(build_set(head, build_arm(BASE)))] == ["base"]


def test_rows_are_read_as_they_were_written() -> None:
    rows = build_rows("rest", 1, "control", build_set(build_arm(BASE), build_arm(BASE), 0.5))
    assert parse_rows(format_rows(rows)) == rows


WHOLE = (
    "method,set,kind,void,background_cores,metric,base,head,ratio\nrest,1,control,True,0.5,finish_p50_us,1.0,2.0,2.0\n"
)


@pytest.mark.parametrize(
    "damage",
    [("True", "perhaps"), ("control", "later"), ("1.0", "x"), (",2.0\n", ",2.0"), (",2.0\n", ",0\n"), ("ratio", "")],
)
def test_damaged_rows_are_refused(damage: tuple[str, str]) -> None:
    assert len(parse_rows(WHOLE)) == 1
    with refuses("damaged-sets", kind=Unmeasured):
        parse_rows(WHOLE.replace(*damage, 1))


def test_a_load_deals_every_pair_to_both_arms() -> None:
    base, head = plan_load(100.0, 20.0, seed=3)
    assert len(base) == len(head) and 1800 < len(base) + len(head) < 2200
    assert base == sorted(base) and head == sorted(head) and max(*base, *head) < 20e6
    assert (base, head) == plan_load(100.0, 20.0, seed=3)
    first_to_base = sum(a < b for a, b in zip(base, head, strict=True))
    assert 0.4 < first_to_base / len(base) < 0.6
