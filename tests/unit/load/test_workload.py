"""Tests generated orders: size, mix of outcomes, seed and compressibility."""

import gzip

import msgspec
import pytest

from bench.load.workload.orders import CYCLE_ORDERS, PAYLOAD_SHAPES, Mix, PayloadShape, Workload, build_probe_order
from shop.factory import open_service
from shop.messages import Message, PlaceOrder
from shop.workflow import SERVICES, find_consumer, is_outcome


def a_workload(**changes: object) -> Workload:
    given: dict[str, object] = {"prefix": "trial-1-w0", "seed": 7, "payload_bytes": 1024}
    return Workload(**{**given, **changes})  # type: ignore[arg-type]


def size_of(order: PlaceOrder) -> int:
    return len(msgspec.json.encode(order.order))


def test_the_same_arguments_give_the_same_orders() -> None:
    one, other = a_workload(), a_workload()
    assert [one.order(n) for n in range(200)] == [other.order(n) for n in range(200)]


def test_another_seed_gives_other_orders() -> None:
    assert a_workload().order(3) != a_workload(seed=8).order(3)


def test_ids_are_prefix_and_number() -> None:
    assert a_workload().order(17).order.order_id == "trial-1-w0-17"


@pytest.mark.parametrize("shape", PAYLOAD_SHAPES)
@pytest.mark.parametrize("payload_bytes", [250, 333, 1024, 60_000, 1_048_576])
def test_an_order_is_exactly_as_large_as_asked(payload_bytes: int, shape: PayloadShape) -> None:
    workload = a_workload(payload_bytes=payload_bytes, shape=shape, compressible=0.5)
    assert {size_of(workload.order(n)) for n in (0, 1, 9, 10, 99, 999, 1000, 123_456_789)} == {payload_bytes}


def test_the_smallest_size_is_named_when_it_is_undercut_and_would_do() -> None:
    with pytest.raises(ValueError, match="the smallest here has") as caught:
        a_workload(payload_bytes=100)
    smallest = int("".join(c for c in str(caught.value).split("has")[-1] if c.isdigit()))
    workload = a_workload(payload_bytes=smallest)
    assert {size_of(workload.order(n)) for n in range(CYCLE_ORDERS)} == {smallest}
    with pytest.raises(ValueError):
        a_workload(payload_bytes=smallest - 1)


def test_a_cycle_holds_exactly_the_mix() -> None:
    workload = a_workload(mix=Mix(sold_out=0.1, declined=0.05))
    assert [workload.expected(n) for n in range(CYCLE_ORDERS)].count("rejected") == 0.15 * CYCLE_ORDERS


@pytest.mark.parametrize("shape", PAYLOAD_SHAPES)
@pytest.mark.parametrize("mix", [Mix(), Mix(sold_out=1, declined=0), Mix(sold_out=0, declined=1)])
def test_orders_end_in_the_shop_as_planned(mix: Mix, shape: PayloadShape) -> None:
    workload = a_workload(mix=mix, shape=shape, compressible=0.5)
    services = {name: open_service(name) for name in SERVICES}
    for number in range(300):
        message: Message = workload.order(number)
        while not is_outcome(message):
            message = services[find_consumer(message)].handle(message)
        assert message.status == workload.expected(number)  # type: ignore[union-attr]


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.6, 0.6), (float("nan"), 0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        Mix(sold_out=shares[0], declined=shares[1])


@pytest.mark.parametrize("shape", PAYLOAD_SHAPES)
def test_contents_of_neighbours_differ(shape: PayloadShape) -> None:
    workload = a_workload(shape=shape, payload_bytes=4096)
    orders = [workload.order(n).order for n in range(100)]
    assert len({(order.document, order.lines) for order in orders}) > 90


def test_what_gives_an_order_its_size_is_its_document_or_its_lines() -> None:
    document, structured = (a_workload(shape=shape, payload_bytes=65_536).order(3).order for shape in PAYLOAD_SHAPES)
    assert (len(document.document) > 48_000, len(document.lines) <= 3) == (True, True)
    assert (structured.document, len(structured.lines) > 700) == (b"", True)


@pytest.mark.parametrize("shape", PAYLOAD_SHAPES)
def test_the_less_is_compressible_the_more_is_left_by_compression(shape: PayloadShape) -> None:
    left = []
    for compressible in (1.0, 0.5, 0.0):
        order = a_workload(shape=shape, payload_bytes=100_000, compressible=compressible).order(0).order
        body = msgspec.msgpack.encode(order)
        left.append(len(gzip.compress(body)) / len(body))
    assert left[0] < 0.5
    assert left == sorted(left)
    assert left[2] > left[0] + 0.15


@pytest.mark.parametrize("compressible", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(compressible: float) -> None:
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        a_workload(compressible=compressible)


def test_probes_are_recognised_and_differ() -> None:
    one, other = build_probe_order("ready"), build_probe_order("ready")
    assert one.order.is_probe
    assert one.order.order_id != other.order.order_id
