"""Tests the breakdown of an order's time by hop."""

import random
from contextlib import AsyncExitStack
from statistics import fmean
from types import SimpleNamespace

import pytest
from msgspec import structs

from bench.load.workload.orders import Mix, Workload
from bench.results.rows import HopRow
from bench.stats.paired import paired_ratio
from bench.trial.hops import SHIPPED_PATH, SampledOrder, build_path_steps, find_clock_mismatch
from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, Message
from shop.service import Service
from shop.workflow import SERVICES
from transports.base import Setting
from transports.loop_lag import UNKNOWN_NS
from transports.registry import load_transport
from transports.tracing import Stamp, Tracer

US = 1000


def an_order(order_id: str = "o-1", *, sent_us: int = 100, gap_us: int = 10) -> tuple[SampledOrder, list[Stamp]]:
    """Every transfer takes ``gap_us``, every wait 1 us, every handling 5 us of which the store took 2."""
    at, stamps = sent_us * US, []
    for message in SHIPPED_PATH:
        arrived = at + gap_us * US
        stamps.append(Stamp(order_id, KIND_BY_TYPE[message], arrived, arrived + US, arrived + 6 * US, 2 * US))
        at = arrived + 6 * US
    return SampledOrder(order_id, 90 * US, sent_us * US, at, at + gap_us * US), stamps


def test_every_step_of_a_shipped_order_is_named_and_timed() -> None:
    order, stamps = an_order()
    found = build_path_steps([order], stamps)
    assert [(step.service, step.part) for step in found[:5]] == [
        ("user", "transfer"),
        ("user", "wait"),
        ("user", "handle"),
        ("user", "store"),
        ("product", "transfer"),
    ]
    assert [step.mean_us for step in found[:5]] == [10, 1, 3, 2, 10]
    assert (found[-1].service, found[-1].part, found[-1].mean_us) == ("buyer", "transfer", 10)
    assert [step.number for step in found] == list(range(1, 22))


def test_the_means_of_all_steps_add_up_to_the_mean_time_from_sent_to_finished() -> None:
    pairs = [an_order(f"o-{gap}", gap_us=gap) for gap in (3, 10, 47)]
    orders = [order for order, _ in pairs]
    found = build_path_steps(orders, [stamp for _, stamps in pairs for stamp in stamps])
    whole_us = fmean((order.finished_ns - order.sent_ns) / US for order in orders)
    assert sum(step.mean_us for step in found) == pytest.approx(whole_us)
    assert {step.n for step in found} == {3}


class Clock:
    """Stands still but for what services say their work takes."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def taking(service: Service, clock: Clock, draw: random.Random, mean_us: float) -> Service:
    """The same service, every message of which takes a random time with this mean."""
    handle = service.handle

    def slowly(message: Message) -> Message:
        clock.now_ns += round(draw.gammavariate(4.0, mean_us * US / 4.0))
        return handle(message)

    service.handle = slowly  # type: ignore[method-assign]
    return service


async def handled_us(clock: Clock, seed: int, **slower: float) -> dict[str, float]:
    """A trial over memory: by service, the mean time that handlers took of an order."""
    transport, draw = load_transport("memory")(Setting(trial="fw-hops", trace_every=1)), random.Random(seed)
    workload = Workload(prefix=f"h{seed}", seed=seed, payload_bytes=512, mix=Mix(sold_out=0.0, declined=0.0))
    orders, traces = [], []
    async with AsyncExitStack() as stack:
        for name in SERVICES:
            service = taking(open_service(name), clock, draw, 1000 * slower.get(name, 1.0))
            traces.append((await stack.enter_async_context(transport.serve(service))).trace)
        client = await stack.enter_async_context(transport.connect())
        for number in range(200):
            order, sent_ns = workload.order(number), clock()
            finished = await (await client.submit(order)).finished
            orders.append(SampledOrder(order.order.order_id, sent_ns, sent_ns, finished.at_ns, finished.at_ns))
    found = build_path_steps(orders, [stamp for trace in traces for stamp in trace.stamps])
    assert {step.n for step in found} == {200}
    return {name: sum(s.mean_us for s in found if (s.service, s.part) == (name, "handle")) for name in SERVICES}


async def test_a_tenth_more_in_one_service_moves_its_hop_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("transports.dispatch.monotonic_ns", clock)
    monkeypatch.setattr("transports.memory.transport.time", SimpleNamespace(monotonic_ns=clock))
    plain = [await handled_us(clock, seed) for seed in range(12)]
    slower = [await handled_us(clock, seed, payment=1.1) for seed in range(100, 112)]
    for name in SERVICES:
        ratio = paired_ratio([trial[name] for trial in slower], [trial[name] for trial in plain])
        assert ratio.low is not None
        assert ratio.high is not None
        truth, other = (1.1, 1.0) if name == "payment" else (1.0, 1.1)
        assert ratio.low <= truth <= ratio.high
        assert not ratio.low <= other <= ratio.high


def lag(order: SampledOrder, stamps: list[Stamp], *lags_us: int) -> tuple[SampledOrder, list[Stamp]]:
    """The same order with what each of its six receivers is said to have waited for its loop; -1: nothing is said."""
    lags_ns = [UNKNOWN_NS if us < 0 else us * US for us in lags_us]
    late = [stamp._replace(lag_ns=lag_ns) for stamp, lag_ns in zip(stamps, lags_ns, strict=False)]
    return structs.replace(order, lag_ns=lags_ns[-1]), late


def parts_of(*pairs: tuple[SampledOrder, list[Stamp]]) -> dict[tuple[str, str, str], HopRow]:
    found = build_path_steps([order for order, _ in pairs], [stamp for _, stamps in pairs for stamp in stamps])
    return {(step.service, step.message, step.part): step for step in found}


def test_what_a_message_waited_for_the_loop_moves_from_transfer_to_wait() -> None:
    plain, late = parts_of(an_order()), parts_of(lag(*an_order(), 0, 0, 4, 0, 0, 3))
    key = ("payment", "stock-reserved")
    assert [late[*key, part].mean_us for part in ("transfer", "wait", "handle", "store")] == [6, 5, 3, 2]
    assert late[*key, "wait"].loop_us == 4
    assert [late["buyer", "order-closed", part].mean_us for part in ("transfer", "wait")] == [7, 3]
    assert sum(step.mean_us for step in late.values()) == sum(step.mean_us for step in plain.values())
    assert [step.number for step in late.values()] == list(range(1, 23))


def test_a_message_waited_no_longer_than_it_was_on_its_way() -> None:
    found = parts_of(lag(*an_order(), *[50] * 6))
    assert found["user", "place-order", "transfer"].mean_us == 0
    assert found["user", "place-order", "wait"].mean_us == 11
    assert found["user", "place-order", "wait"].loop_us == 10


def test_where_nothing_is_known_of_the_loop_nothing_moves_and_nothing_is_said() -> None:
    found = parts_of(an_order())
    assert {step.loop_us for step in found.values()} == {None}
    assert ("buyer", "order-closed", "wait") not in found
    assert found["user", "place-order", "transfer"].mean_us == 10


def test_an_order_of_which_nothing_is_known_counts_as_the_others_do() -> None:
    known = [lag(*an_order(f"o-{us}"), *[us] * 6) for us in (2, 4)]
    found = parts_of(*known, lag(*an_order("o-odd"), *[-1] * 6))
    assert found["product", "order-placed", "wait"].loop_us == 3
    assert found["product", "order-placed", "transfer"].mean_us == 7


def test_the_resolution_is_that_of_the_mean_over_orders() -> None:
    found = parts_of(*(lag(*an_order(f"o-{us}"), *[us] * 6) for us in (1, 2, 3)))
    wait = found["shipping", "payment-taken", "wait"]
    assert wait.loop_us == 2
    assert wait.loop_error_us == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert parts_of(lag(*an_order(), *[1] * 6))["shipping", "payment-taken", "wait"].loop_error_us is None


def test_stamps_may_come_in_any_order() -> None:
    order, stamps = an_order()
    assert build_path_steps([order], reversed(stamps)) == build_path_steps([order], stamps)


@pytest.mark.parametrize("change", ["missing", "twice"])
def test_an_order_that_took_another_way_is_left_out(change: str) -> None:
    order, stamps = an_order("odd")
    whole, others = an_order("whole")
    changed = stamps[:-1] if change == "missing" else [*stamps, stamps[2]]
    assert {step.n for step in build_path_steps([order, whole], changed + others)} == {1}


def test_without_a_whole_order_there_are_no_steps() -> None:
    order, _ = an_order()
    assert build_path_steps([order], []) == []


def test_about_one_in_so_many_orders_is_wanted_and_always_the_same() -> None:
    wanted = [f"order-{number}" for number in range(20_000) if Tracer(20).is_sampled(f"order-{number}")]
    assert 900 < len(wanted) < 1100
    assert all(Tracer(20).is_sampled(order_id) for order_id in wanted)


def test_without_a_share_no_order_is_wanted() -> None:
    assert not any(Tracer(0).is_sampled(f"order-{number}") for number in range(1000))


def test_clocks_that_lie_between_ours_agree() -> None:
    assert find_clock_mismatch({"user": (10, 15, 20), "payment": (30, 30, 40)}) == ""


@pytest.mark.parametrize("theirs_ns", [9_000, 121_000])
def test_a_clock_outside_ours_is_named_with_how_far_it_is_off(theirs_ns: int) -> None:
    assert find_clock_mismatch({"payment": (10_000, theirs_ns, 120_000)}) == (
        "the clock of the payment process differs from ours by 1 us or more"
    )
