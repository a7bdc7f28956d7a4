"""Runs the self-test's cases on a virtual clock, and the faults that they must find."""

import dataclasses

import pytest

from bench.calibration.selftest.cases import SINGLE_TRIAL_CASES, CheckResult, SingleTrialCase, expected_responses_s
from bench.calibration.selftest.queue_model import QueueModel, compute_responses_s
from bench.calibration.selftest.stub import StubClient
from bench.load.closed_loop import ClosedDriver
from bench.load.driver import Driver
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.session import build_schedule, build_warm_up_schedule
from tests.unit.load.virtual_clock import build_virtual_pacer, read_virtual_clock_ns, run_on_virtual_clock

ON_TIME = [case for case in SINGLE_TRIAL_CASES if not case.model.hold_ms]
CASE = {case.name: case for case in SINGLE_TRIAL_CASES}


def phases_of(spec: TrialSpec) -> Phases:
    return Phases(
        warm_up_s=spec.warm_up_s,
        duration_s=spec.duration_s,
        drain_s=spec.drain_s,
        deadline_s=spec.setting.deadline_s,
        in_flight_cap=spec.in_flight_cap,
    )


async def as_planned(spec: TrialSpec, model: QueueModel) -> Driver:
    schedule = build_schedule(spec, spec.build_workload("w0"), 0, spec.users * spec.orders_per_s_per_user)
    assert schedule is not None
    warm_up = build_warm_up_schedule(spec, 0, spec.users * spec.orders_per_s_per_user)
    client = StubClient(model, read_virtual_clock_ns)
    driver = OpenDriver(
        client,
        spec.build_workload("w0"),
        phases_of(spec),
        schedule,
        clock=read_virtual_clock_ns,
        pacer=build_virtual_pacer,
        warm_up=warm_up,
    )
    await driver.run()
    return driver


async def one_after_the_other(spec: TrialSpec, model: QueueModel) -> Driver:
    """As a load generator that waits for an answer before it sends again: coordinated omission."""
    client = StubClient(model, read_virtual_clock_ns)
    driver = ClosedDriver(
        client, spec.build_workload("w0"), phases_of(spec), 1, clock=read_virtual_clock_ns, pacer=build_virtual_pacer
    )
    await driver.run()
    return driver


def checked(case: SingleTrialCase, driver: Driver) -> list[CheckResult]:
    spec = case.spec("fw-known")
    return list(case.check(spec, case.model, TrialReport.of(spec.id, 0, driver.record, driver.plan_hash)))


@pytest.mark.parametrize("case", ON_TIME, ids=lambda case: case.name)
def test_what_is_known_beforehand_is_what_is_reported(case: SingleTrialCase) -> None:
    lines = checked(case, run_on_virtual_clock(as_planned(case.spec("fw-known"), case.model)))
    assert lines
    assert [line for line in lines if not line.right] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a stall of 1.4 s in 20 s", "five times too much for one clerk"])
def test_a_generator_that_waits_for_answers_is_found_out(name: str) -> None:
    lines = checked(
        CASE[name], run_on_virtual_clock(one_after_the_other(CASE[name].spec("fw-known"), CASE[name].model))
    )
    assert not all(line.right for line in lines if line.what in ("p50", "p99", "largest"))


@pytest.mark.parametrize("case", [case for case in ON_TIME if case.model.service_ms >= 5], ids=lambda case: case.name)
def test_a_shop_that_takes_twice_as_long_is_found_out(case: SingleTrialCase) -> None:
    slower = dataclasses.replace(case, model=QueueModel(**_fields(case.model, service_ms=2 * case.model.service_ms)))
    driver = run_on_virtual_clock(as_planned(case.spec("fw-known"), slower.model))
    assert not all(line.right for line in checked(case, driver))


def test_without_a_queue_an_order_takes_its_service_time() -> None:
    assert compute_responses_s(QueueModel(service_ms=20), [0.0, 0.001, 5.0]) == pytest.approx([0.02] * 3)


def test_one_clerk_serves_one_order_after_the_other() -> None:
    assert compute_responses_s(QueueModel(service_ms=1000, clerks=1), [0.0, 0.5, 5.0]) == pytest.approx([1.0, 1.5, 1.0])


def test_two_clerks_serve_two_orders_at_a_time() -> None:
    assert compute_responses_s(QueueModel(service_ms=1000, clerks=2), [0.0, 0.5, 0.6]) == pytest.approx([1.0, 1.0, 1.4])


def test_who_comes_in_a_stall_waits_for_its_end() -> None:
    model = QueueModel(service_ms=1, stall_at_s=1.0, stall_s=2.0)
    assert compute_responses_s(model, [10.0, 11.5, 13.1]) == pytest.approx([0.001, 1.501, 0.001])


def test_one_in_so_many_orders_never_ends() -> None:
    assert [value is None for value in compute_responses_s(QueueModel(silent_every=3), range(6))] == [
        False,
        False,
        True,
    ] * 2


@pytest.mark.slow
def test_a_queue_of_exponential_service_has_the_mean_that_theory_gives() -> None:
    case = CASE["M/M/1, half busy"]
    spec = dataclasses.replace(case, load={**case.load, "duration_s": 5_000.0}).spec("fw-known")
    known_s = expected_responses_s(spec, case.model)
    assert sum(known_s) / len(known_s) == pytest.approx(0.01 / (1 - 0.5), rel=0.02)


def _fields(model: QueueModel, **changes: float) -> dict[str, object]:
    return {name: getattr(model, name) for name in model.__struct_fields__} | changes
