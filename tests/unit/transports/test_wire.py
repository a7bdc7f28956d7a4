"""Tests that every codec round-trips every message and refuses invalid bytes."""

import base64
import filecmp
import importlib.util
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.paths import ROOT
from shop.messages import (
    KIND_BY_TYPE,
    MESSAGES,
    TYPE_BY_KIND,
    Message,
    Order,
    OrderClosed,
    OrderLine,
    OutOfStock,
    PaymentTaken,
    PlaceOrder,
)
from tests.conftest import build_order, refuses
from transports.errors import SettingError, Unreadable
from transports.wire import list_codecs, load_codec
from transports.wire import orders_pb2 as pb

CHECKOUT = ROOT
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)  # a lone surrogate is no text on any wire
LINES = st.lists(st.builds(OrderLine, TEXT, TEXT, INT64, INT64), max_size=3).map(tuple)
ORDERS = st.builds(Order, TEXT, TEXT, TEXT, TEXT, LINES, st.binary(max_size=30))
FIELDS = {"order": ORDERS, "total_cents": INT64, "status": st.sampled_from(["shipped", "rejected"])}


def messages_of(message: type[Message]) -> st.SearchStrategy[Message]:
    return st.builds(message, **{name: FIELDS.get(name, TEXT) for name in message.__dataclass_fields__})


few = settings(max_examples=30, deadline=None)
each_codec = pytest.mark.parametrize("codec", [load_codec(name) for name in list_codecs()], ids=list_codecs())
each_message = pytest.mark.parametrize("message_type", MESSAGES, ids=KIND_BY_TYPE.values())
each_kind = pytest.mark.parametrize("kind", TYPE_BY_KIND)


def test_there_are_json_msgpack_protobuf_and_avro() -> None:
    assert list_codecs() == ("json", "msgpack", "protobuf", "avro")


def test_kinds_are_the_names_of_the_messages_with_hyphens() -> None:
    assert {kind: message.__name__ for kind, message in TYPE_BY_KIND.items()} == {
        "place-order": "PlaceOrder",
        "order-placed": "OrderPlaced",
        "stock-reserved": "StockReserved",
        "out-of-stock": "OutOfStock",
        "payment-taken": "PaymentTaken",
        "payment-declined": "PaymentDeclined",
        "stock-released": "StockReleased",
        "order-shipped": "OrderShipped",
        "order-closed": "OrderClosed",
    }


@each_codec
@each_message
@few
@given(data=st.data())
def test_a_message_comes_back_from_its_bytes(codec, message_type, data) -> None:
    message = data.draw(messages_of(message_type))
    assert codec.decode(KIND_BY_TYPE[message_type], codec.encode(message)) == message


@each_codec
@each_message
@few
@given(data=st.data())
def test_an_answer_says_what_it_is_before_it_is_decoded_as_the_same_fact(codec, message_type, data) -> None:
    fact = data.draw(messages_of(message_type))
    answer = codec.encode_answer(fact)
    assert codec.read_answer_type(answer[:12]) is message_type
    assert codec.decode_answer(answer) == fact


def test_an_answer_in_json_with_spaces_says_what_it_is_too() -> None:
    spaced = json.dumps(
        {"out_of_stock": json.loads(load_codec("json").encode(OutOfStock(build_order(), "")))}, indent=2
    )
    assert load_codec("json").read_answer_type(spaced.encode()) is OutOfStock


@each_codec
def test_a_decoded_order_can_be_kept_in_a_set(codec) -> None:
    decoded = codec.decode("place-order", codec.encode(PlaceOrder(build_order())))
    assert decoded in {PlaceOrder(build_order())}


@each_message
@few
@given(data=st.data())
def test_a_json_body_is_the_plain_object_of_its_fields(message_type, data) -> None:
    message = data.draw(messages_of(message_type))
    body = json.loads(load_codec("json").encode(message))
    assert list(body) == list(message_type.__dataclass_fields__)
    assert body["order"]["lines"] == [
        {"sku": line.sku, "name": line.name, "quantity": line.quantity, "price_cents": line.price_cents}
        for line in message.order.lines
    ]
    assert base64.b64decode(body["order"]["document"]) == message.order.document


@each_message
@few
@given(data=st.data())
def test_a_json_answer_has_one_member_named_after_its_kind(message_type, data) -> None:
    codec, fact = load_codec("json"), data.draw(messages_of(message_type))
    answer = json.loads(codec.encode_answer(fact))
    assert answer == {KIND_BY_TYPE[message_type].replace("-", "_"): json.loads(codec.encode(fact))}


def test_a_json_body_is_compact() -> None:
    body = load_codec("json").encode(PlaceOrder(build_order()))
    assert body.decode() == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)


@each_message
@few
@given(data=st.data())
def test_a_protobuf_body_is_read_by_the_generated_module_alone(message_type, data) -> None:
    message = data.draw(messages_of(message_type))
    read = getattr(pb, message_type.__name__).FromString(load_codec("protobuf").encode(message))
    for name in message_type.__dataclass_fields__.keys() - {"order", "status"}:
        assert getattr(read, name) == getattr(message, name)
    assert [(line.sku, line.name, line.quantity, line.price_cents) for line in read.order.lines] == [
        (line.sku, line.name, line.quantity, line.price_cents) for line in message.order.lines
    ]
    assert (read.order.order_id, read.order.document) == (message.order.order_id, message.order.document)


@each_message
@few
@given(data=st.data())
def test_a_protobuf_answer_is_a_oneof_with_the_fact(message_type, data) -> None:
    codec, fact = load_codec("protobuf"), data.draw(messages_of(message_type))
    answer = pb.Answer.FromString(codec.encode_answer(fact))
    member = answer.WhichOneof("fact")
    assert member == KIND_BY_TYPE[message_type].replace("-", "_")
    assert getattr(answer, member) == getattr(pb, message_type.__name__).FromString(codec.encode(fact))


def test_a_protobuf_outcome_says_its_status_in_the_words_of_the_proto() -> None:
    closed = OrderClosed(build_order(), "shipped", 1, "RR", "")
    read = pb.OrderClosed.FromString(load_codec("protobuf").encode(closed))
    assert pb.OrderClosed.Status.Name(read.status) == "SHIPPED"


def test_bytes_made_by_the_generated_module_alone_are_read() -> None:
    body = pb.PaymentTaken(order=pb.Order(order_id="o", card="4"), total_cents=7, payment_id="p").SerializeToString()
    assert load_codec("protobuf").decode("payment-taken", body) == PaymentTaken(Order("o", "", "4", "", ()), 7, "p")


@each_codec
@each_kind
@few
@given(body=st.binary(max_size=200))
@example(b"")
@example(b"{}")
@example(b"null")
@example(b'{"order":{}}')
@example(b"\x80")
@example(b"\xc0")
@example(b'{"order":"\xff"}')
def test_garbage_is_unreadable_and_nothing_else(codec, kind, body) -> None:
    # Random bytes may be a message by chance in protobuf, whose every field may be missing.
    try:
        assert isinstance(codec.decode(kind, body), TYPE_BY_KIND[kind])
    except Unreadable as error:
        assert codec.name in str(error)


@each_codec
@few
@given(body=st.binary(max_size=200))
@example(b"")
@example(b"{}")
@example(b"[]")
@example(b'{"order_closed":null}')
@example(b"\x80")
def test_garbage_is_no_answer(codec, body) -> None:
    for read in (codec.decode_answer, codec.read_answer_type):
        try:
            assert (read(body) if read == codec.read_answer_type else type(read(body))) in MESSAGES
        except Unreadable as error:
            assert codec.name in str(error)


@each_codec
@few
@given(data=st.data())
def test_a_message_with_damaged_bytes_is_another_message_or_unreadable(codec, data) -> None:
    message = data.draw(messages_of(data.draw(st.sampled_from(MESSAGES))))
    body = bytearray(codec.encode(message))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(Unreadable):
        assert type(codec.decode(KIND_BY_TYPE[type(message)], bytes(body))) is type(message)


@each_codec
@each_message
def test_a_message_that_was_cut_short_is_unreadable(codec, message_type) -> None:
    values = {"order": build_order(), "status": "shipped", "total_cents": 5}
    message = message_type(**{name: values.get(name, "x" * 40) for name in message_type.__dataclass_fields__})
    body, kind = codec.encode(message), KIND_BY_TYPE[message_type]
    assert codec.decode(kind, body) == message
    for length in range(len(body)):
        with pytest.raises(Unreadable):
            codec.decode(kind, body[:length])


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_a_kind_with_fields_of_another_is_unreadable(name: str) -> None:
    codec = load_codec(name)
    with pytest.raises(Unreadable, match="total_cents"):
        codec.decode("payment-taken", codec.encode(PlaceOrder(build_order())))


@each_codec
def test_a_message_without_an_order_is_unreadable(codec) -> None:
    if codec.name == "avro":
        pytest.skip("in avro every field is there, or the bytes end too early")
    empty = {"json": b"{}", "msgpack": b"\x80", "protobuf": b""}[codec.name]
    with pytest.raises(Unreadable, match="order"):
        codec.decode("place-order", empty)


@each_codec
def test_an_outcome_with_a_status_that_is_none_is_unreadable(codec) -> None:
    body = codec.encode(OrderClosed(build_order(), "shipped", 1, "RR", ""))
    if codec.name == "protobuf":
        unknown = pb.OrderClosed.FromString(body)
        unknown.status = 0
        damaged = unknown.SerializeToString()
    elif codec.name == "avro":
        symbol_at = len(codec.encode(PlaceOrder(build_order())))  # the order comes first in both
        damaged = body[:symbol_at] + b"\x08" + body[symbol_at + 1 :]
    else:
        damaged = body.replace(b"shipped", b"shopped")
    with pytest.raises(Unreadable):
        codec.decode("order-closed", damaged)


@each_codec
@pytest.mark.parametrize("kind", ["order-lost", "PlaceOrder", "place_order", "decode"])
def test_an_unknown_kind_is_unreadable_and_named(codec, kind: str) -> None:
    with pytest.raises(Unreadable, match=kind):
        codec.decode(kind, codec.encode(PlaceOrder(build_order())))


@pytest.mark.parametrize(("misspelt", "meant"), [("jason", "json"), ("protobuff", "protobuf"), ("msgpac", "msgpack")])
def test_a_misspelt_codec_is_answered_with_the_nearest_name(misspelt: str, meant: str) -> None:
    with refuses("unknown-codec", repr(misspelt), repr(meant), kind=SettingError):
        load_codec(misspelt)


def test_a_codec_that_resembles_none_is_answered_with_all_names() -> None:
    with refuses("unknown-codec", "'xml'", "json, msgpack, protobuf, avro", kind=SettingError):
        load_codec("xml")


def test_a_codec_is_made_once() -> None:
    assert load_codec("json") is load_codec("json")


@pytest.mark.slow
def test_asking_for_json_does_not_load_protobuf() -> None:
    program = "import sys; from transports.wire import *; load_codec('json'); print('google.protobuf' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.slow
def test_the_generated_module_is_what_the_proto_generates(tmp_path: Path) -> None:
    assert importlib.util.find_spec("grpc_tools") is not None
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    subprocess.run(
        f"{sys.executable} -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy={plugin} "
        f"--python_out={tmp_path} --mypy_out={tmp_path} transports/wire/orders.proto".split(),
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    names = ["orders_pb2.py", "orders_pb2.pyi"]
    here, generated = CHECKOUT / "transports/wire", tmp_path / "transports/wire"
    assert filecmp.cmpfiles(here, generated, names, shallow=False) == (names, [], [])


@each_codec
@pytest.mark.parametrize("kind", ["place-order", None], ids=["message", "answer"])
def test_nesting_without_end_is_unreadable(codec, kind: str | None) -> None:
    """A few kilobytes that anyone can send; on Kafka what is raised here ends the service, again after each restart."""
    bottomless = {
        "json": b'{"x":' + b"[" * 100_000,
        "msgpack": b"\x81\xa1x" + b"\x91" * 100_000,
        "protobuf": b"\x0b" * 100_000,
        "avro": load_codec("avro").encode(PlaceOrder(build_order()))[:11] + b"\xff" * 100_000,  # nothing nests there
    }[codec.name]
    with pytest.raises(Unreadable):
        codec.decode(kind, bottomless) if kind else codec.decode_answer(bottomless)
