"""Tests that a seed gives every transport the same orders at the same times."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from bench.load.driver import Driver
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.protocol import TrialSpec
from bench.load.session import build_schedule
from bench.load.workload.orders import Mix, Workload
from bench.load.workload.replay import ArrivalTrace
from bench.load.workload.shape import RateBurst, RateStep
from shop.messages import PlaceOrder
from tests.unit.load.virtual_clock import (
    FakeShopClient,
    build_virtual_pacer,
    read_virtual_clock_ns,
    run_on_virtual_clock,
)
from transports.base import Receipt, Setting
from transports.wire import list_codecs, load_codec


class Digests(FakeShopClient):
    """Takes down what reaches it: when, and the encoded order, the trial's own name in its id left out."""

    def __init__(self, codec: str, trial: str) -> None:
        super().__init__()
        self._codec = load_codec(codec)
        self._trial = trial.encode()
        self._digest = hashlib.sha256()
        self._begin_ns = read_virtual_clock_ns()

    async def submit(self, order: PlaceOrder) -> Receipt:
        encoded = bytes(self._codec.encode(order))
        assert self._trial in encoded
        self._digest.update(
            f"{read_virtual_clock_ns() - self._begin_ns}|".encode() + encoded.replace(self._trial, b"trial")
        )
        return await super().submit(order)

    @property
    def seen(self) -> tuple[int, str]:
        return len(self.orders), self._digest.hexdigest()


def a_spec(**changes: Any) -> TrialSpec:
    given: dict[str, Any] = {"id": "fw-0000r1s1", "transport": "rest", "users": 100, "warm_up_s": 1, "duration_s": 6}
    given |= {"setting": Setting(trial=given["id"]), **changes}
    return TrialSpec(**given)


def workload_of(spec: TrialSpec) -> Workload:
    return Workload(prefix=f"{spec.id}w0", seed=spec.seed, payload_bytes=spec.payload_bytes, mix=spec.mix)


def plan_hash(spec: TrialSpec, worker: int = 0) -> str:
    orders_per_s = spec.users * spec.orders_per_s_per_user
    schedule = build_schedule(spec, workload_of(spec), worker, orders_per_s)
    assert schedule is not None
    assert schedule.plan is not None
    return schedule.plan.hash


def replayed(spec: TrialSpec, codec: str) -> tuple[int, str]:
    stub: Digests

    async def trial() -> Driver:
        nonlocal stub
        stub, workload = Digests(codec, spec.id), workload_of(spec)
        schedule = build_schedule(spec, workload, 0, spec.users * spec.orders_per_s_per_user)
        assert schedule is not None
        phases = Phases(warm_up_s=spec.warm_up_s, duration_s=spec.duration_s)
        driver = OpenDriver(stub, workload, phases, schedule, clock=read_virtual_clock_ns, pacer=build_virtual_pacer)
        await driver.run()
        return driver

    assert run_on_virtual_clock(trial()).plan_hash == plan_hash(spec)
    return stub.seen


@pytest.mark.parametrize("codec", list_codecs())
@pytest.mark.parametrize("arrivals", ["poisson", "step", "burst"])
def test_two_transports_get_the_same_bytes_at_the_same_times(arrivals: str, codec: str) -> None:
    one = replayed(a_spec(arrivals=arrivals), codec)
    other = replayed(a_spec(arrivals=arrivals, transport="events", id="fw-9f3cr1s4"), codec)
    assert one == other
    assert one[0] > 500


def test_another_seed_sends_other_bytes() -> None:
    assert replayed(a_spec(), "json") != replayed(a_spec(seed=2), "json")


@pytest.mark.parametrize("arrivals", ["poisson", "constant", "step", "burst"])
def test_a_plan_has_the_same_hash_on_every_transport(arrivals: str) -> None:
    hashes = {
        plan_hash(a_spec(arrivals=arrivals, transport=transport, id=f"fw-0000r1s{slot}"))
        for slot, transport in enumerate(("rest", "grpc", "broker", "events", "memory"), 6)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("arrivals", "change"),
    [
        ("poisson", {"seed": 2}),
        ("constant", {"seed": 2}),
        ("poisson", {"users": 101}),
        ("poisson", {"duration_s": 6.5}),
        ("poisson", {"warm_up_s": 1.5, "duration_s": 5.5}),
        ("poisson", {"payload_bytes": 2048}),
        ("poisson", {"mix": Mix(sold_out=0.03)}),
        ("poisson", {"mix": Mix(declined=0.01)}),
        ("poisson", {"arrivals": "constant"}),
        ("poisson", {"arrivals": "burst"}),
        ("step", {"arrivals": "burst"}),
        ("step", {"step": RateStep(factor=2)}),
        ("step", {"step": RateStep(at_s=2.1)}),
        ("step", {"step": RateStep(for_s=2.1)}),
        ("burst", {"burst": RateBurst(peak=9)}),
        ("burst", {"burst": RateBurst(period_s=3)}),
    ],
)
def test_whatever_changes_the_plan_changes_its_hash(arrivals: str, change: dict[str, Any]) -> None:
    assert plan_hash(a_spec(arrivals=arrivals)) != plan_hash(a_spec(**{"arrivals": arrivals, **change}))


def test_a_trace_is_replayed_and_another_one_has_another_hash(tmp_path: Path) -> None:
    def spec(name: str, content: str) -> TrialSpec:
        path = tmp_path / name
        path.write_text(content)
        asked = a_spec(arrivals="replay", replay=ArrivalTrace.of(path), users=1, duration_s=3)
        # As it travels to the load process.
        return TrialSpec.from_json(asked.to_json())

    one, other = spec("one", "0\n0.5\n3\n"), spec("other", "0\n0.6\n3\n")
    assert replayed(one, "json")[0] == 3
    assert plan_hash(one) != plan_hash(other)


def test_workers_share_a_trace_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("0\n1\n2\n3\n4\n")
    setting = Setting(trial="two", workers=2)
    spec = a_spec(arrivals="replay", replay=ArrivalTrace.of(path), setting=setting, warm_up_s=0, duration_s=4)
    shares = []
    for worker in range(2):
        schedule = build_schedule(spec, workload_of(spec), worker, 0.5)
        assert schedule is not None
        assert schedule.plan is not None
        shares.append([offset_ns // 1_000_000_000 for offset_ns in schedule.plan.offsets_ns])
    assert shares == [[0, 2, 4], [1, 3]]


def test_arrivals_from_a_trace_without_one_are_refused() -> None:
    with pytest.raises(ValueError, match="need their file; say which"):
        a_spec(arrivals="replay")
