"""Tests services and brokers with other people's tools: curl, gRPC reflection, broker CLIs."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
import pytest
import pytest_asyncio

from bench.provision import kafka
from bench.provision.ports import find_free_ports
from bench.provision.services import ServiceProcess, run_services
from shop.messages import KIND_BY_TYPE, PlaceOrder
from shop.workflow import SERVICES
from tests.conftest import HOME, build_order
from transports.base import Setting
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LIMIT_BYTES = 64 * 1024
_trials = (f"foreign-{os.getpid()}-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Shop:
    """Four service processes over one transport."""

    setting: Setting
    running: Mapping[str, ServiceProcess]

    def url(self, path: str, service: str = "user") -> str:
        return f"http://{self.setting.addresses[service]}{path}"


@asynccontextmanager
async def a_shop(transport: str, folder: Path, servers: Mapping[str, str] | None = None) -> AsyncIterator[Shop]:
    kind = load_transport(transport)
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    setting = Setting(
        trial=next(_trials),
        addresses=addresses,
        servers=servers or {},
        codec=kind.traits.codec,
        max_message_bytes=LIMIT_BYTES,
    )
    await kind(setting).prepare()
    try:
        async with run_services(transport, setting, folder=folder, logs=folder / "logs", store_folder=None) as running:
            yield Shop(setting, running)
    finally:
        await kind(setting).remove()


def in_json(**changes: object) -> dict[str, Any]:
    """An order that ships, as anyone may write it down."""
    order: dict[str, Any] = msgspec.to_builtins(PlaceOrder(build_order(**changes)))  # type: ignore[arg-type]
    return order


# REST, by curl


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: type `sudo apt-get install curl`")
    async with a_shop("rest", tmp_path_factory.mktemp("rest")) as shop:
        yield shop


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def curl(url: str, *options: str, body: bytes | None = None) -> Answer:
    """A GET, or a POST of ``body``."""
    data = () if body is None else ("--data-binary", "@-")
    command = ("curl", "-sS", "--noproxy", "*", "--max-time", "20", "-w", r"\n%{http_code} %{content_type}")
    done = subprocess.run([*command, *options, *data, url], input=body, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    content, _, said = done.stdout.rpartition(b"\n")
    status, _, content_type = said.decode().partition(" ")
    return Answer(int(status), content_type, content)


def post(shop: Shop, body: bytes, *headers: str, content_type: str = "application/json") -> Answer:
    """To the user service."""
    given = [option for header in (f"content-type: {content_type}", *headers) for option in ("-H", header)]
    return curl(shop.url("/place-order"), *given, body=body)


def assert_problem(answer: Answer, status: int, *, says: str) -> None:
    """RFC 9457."""
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert says in answer.json["detail"]


async def test_the_example_of_the_openapi_page_ships(rest: Shop) -> None:
    described = curl(rest.url("/openapi.json")).json["paths"]["/place-order"]["post"]
    (content_type, content), *_ = described["requestBody"]["content"].items()
    answer = post(rest, json.dumps(content["example"]).encode(), content_type=content_type)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json["order_closed"]["status"] == "shipped"
    assert answer.json["order_closed"]["order"]["order_id"] == content["example"]["order"]["order_id"]


async def test_a_page_of_the_service_orders_as_a_browser_does(rest: Shop) -> None:
    assert curl(rest.url("/docs"), "--http1.1").content_type.startswith("text/html")
    headers = (f"origin: {rest.url('')}", "sec-fetch-mode: cors", "sec-fetch-site: same-origin")
    answer = post(rest, json.dumps(in_json(order_id="from-a-page")).encode(), *headers)
    assert (answer.status, answer.json["order_closed"]["status"]) == (200, "shipped")


async def test_the_openapi_page_needs_no_network(rest: Shop) -> None:
    for service in SERVICES:
        page = curl(rest.url("/docs", service))
        assert page.content_type.startswith("text/html")
        html = page.body.decode()
        addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", html)
        assert {Path(address).suffix for address in addresses} == {".js", ".css", ".png", ".json"}
        for address in addresses:
            assert not urlsplit(address).netloc, f"{address} is on another host"
            assert curl(urljoin(rest.url("/docs", service), address)).status == 200, address
        assert not re.search(r"https?://", html)


@pytest.mark.parametrize("headers", [(), ("transfer-encoding: chunked",)], ids=["with its length", "chunked"])
@pytest.mark.parametrize("size_bytes", [LIMIT_BYTES, 8 * 2**20])
async def test_a_body_over_the_limit_is_a_413_with_the_limit(
    rest: Shop, headers: tuple[str, ...], size_bytes: int
) -> None:
    answer = post(rest, b"x" * size_bytes, *headers)
    assert_problem(answer, 413, says=f"over the limit of {rest.setting.max_order_bytes:,} bytes")


async def test_another_media_type_is_a_415_that_names_the_right_one(rest: Shop) -> None:
    answer = post(rest, b"<order/>", content_type="application/xml")
    assert_problem(answer, 415, says="reads application/json, not application/xml")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"order": {"order_id": "1"}}',
        b'{"order": ' + b"[" * 20_000,
        json.dumps(in_json() | {"order": {**in_json()["order"], "lines": "none"}}).encode(),
    ],
    ids=["nothing", "cut off", "no text", "a list", "half an order", "nested without end", "a wrong type"],
)
async def test_garbage_is_a_400_that_is_counted_and_the_service_goes_on(rest: Shop, body: bytes) -> None:
    before = (await rest.running["user"].audit())["serving"]["unreadable"]
    assert_problem(post(rest, body), 400, says="not a place-order in json")
    assert (await rest.running["user"].audit())["serving"]["unreadable"] == before + 1
    assert post(rest, json.dumps(in_json(order_id="after-garbage")).encode()).status == 200


@pytest.mark.parametrize("length", ["abc", "-1", "+5", "1_0", "0x10", "99999999999999999999999", "2, 3"])
async def test_a_length_that_is_no_number_is_a_400(rest: Shop, length: str) -> None:
    assert post(rest, b"{}", f"content-length: {length}").status == 400


async def test_whoever_goes_away_in_the_middle_of_a_body_is_not_worth_a_traceback(tmp_path: Path) -> None:
    async with a_shop("rest", tmp_path) as shop:
        host, _, port = shop.setting.addresses["user"].rpartition(":")
        for framing in (b"content-length: 100\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n5\r\n{"):
            with socket.create_connection((host, int(port))) as leaving:
                leaving.sendall(b"POST /place-order HTTP/1.1\r\nhost: shop\r\n" + framing)
        assert post(shop, json.dumps(in_json(order_id="good")).encode()).status == 200
    assert [path.read_text() for path in (tmp_path / "logs").iterdir()] == []


async def test_a_message_for_another_service_is_not_found(rest: Shop) -> None:
    answer = curl(rest.url("/place-order", "payment"), "-H", "content-type: application/json", body=b"{}")
    assert answer.status == 404


# gRPC, by a client that is told everything by reflection

REFLECTED = """
import json, sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

asked = json.load(sys.stdin)
with grpc.insecure_channel(asked["address"]) as channel:
    reflected = ProtoReflectionDescriptorDatabase(channel)
    names = sorted(reflected.get_services())
    (name,) = (name for name in names if not name.startswith("grpc."))
    service = descriptor_pool.DescriptorPool(reflected).FindServiceByName(name)
    (method,) = service.methods
    call = channel.unary_unary(
        f"/{name}/{method.name}",
        request_serializer=None,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    check = health_pb2_grpc.HealthStub(channel).Check
    told = {
        "services": names,
        "method": [method.name, method.input_type.name],
        "health": [
            health_pb2.HealthCheckResponse.ServingStatus.Name(
                check(health_pb2.HealthCheckRequest(service=of), timeout=10).status
            )
            for of in ("", name)
        ],
    }
    if "request" in asked:
        if isinstance(asked["request"], str):
            body = bytes.fromhex(asked["request"])
        else:
            request = message_factory.GetMessageClass(method.input_type)()
            body = json_format.ParseDict(asked["request"], request).SerializeToString()
        try:
            answer = call(body, timeout=10)
            told["answer"] = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        except grpc.RpcError as error:
            told["refused"] = [error.code().name, error.details()]
told["ours"] = [module for module in sys.modules if module.split(".")[0] in ("shop", "transports", "bench")]
json.dump(told, sys.stdout)
"""


def reflected(shop: Shop, service: str = "user", request: Mapping[str, Any] | str | None = None) -> dict[str, Any]:
    """What a client that has no module of ours finds at a service, and what becomes of its request (bytes: in hex)."""
    asked = {"address": shop.setting.addresses[service]} | ({} if request is None else {"request": request})
    done = subprocess.run(
        [sys.executable, "-I", "-c", REFLECTED], input=json.dumps(asked).encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ours"] == []
    return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with a_shop("grpc", tmp_path_factory.mktemp("grpc")) as shop:
        yield shop


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("user", ["Place", "PlaceOrder"]),
        ("product", ["Reserve", "OrderPlaced"]),
        ("payment", ["Pay", "StockReserved"]),
        ("shipping", ["Ship", "PaymentTaken"]),
    ],
)
async def test_reflection_tells_what_a_service_takes_and_health_that_it_serves(
    grpc: Shop, service: str, method: list[str]
) -> None:
    told = reflected(grpc, service)
    assert told["services"] == [
        f"fourways.orders.{service.capitalize()}",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert told["method"] == method
    assert told["health"] == ["SERVING", "SERVING"]


async def test_an_order_built_from_reflection_alone_ships(grpc: Shop) -> None:
    answer = reflected(grpc, request=in_json())["answer"]
    assert list(answer) == ["order_closed"]
    assert answer["order_closed"]["status"] == "SHIPPED"
    assert answer["order_closed"]["order"]["order_id"] == "order-1"


async def test_grpc_has_no_answer_to_what_a_browser_can_send(grpc: Shop) -> None:
    connection = http.client.HTTPConnection(grpc.setting.addresses["user"], timeout=20)
    with contextlib.closing(connection), pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.request("POST", "/fourways.orders.User/Place", b"{}", {"content-type": "application/grpc-web"})
        connection.getresponse()


async def test_a_message_over_the_limit_is_resource_exhausted_and_the_service_goes_on(grpc: Shop) -> None:
    code, _ = reflected(grpc, request=in_json(order_id="large", address="x" * LIMIT_BYTES))["refused"]
    assert code == "RESOURCE_EXHAUSTED"
    assert reflected(grpc, request=in_json(order_id="small"))["answer"]["order_closed"]["status"] == "SHIPPED"


async def test_garbage_is_an_invalid_argument_that_is_counted_and_the_service_goes_on(grpc: Shop) -> None:
    before = (await grpc.running["user"].audit())["serving"]["unreadable"]
    code, detail = reflected(grpc, request="ff00ff")["refused"]
    assert (code, detail.partition(":")[0]) == ("INVALID_ARGUMENT", "not a place-order in protobuf")
    assert (await grpc.running["user"].audit())["serving"]["unreadable"] == before + 1
    assert reflected(grpc, request=in_json(order_id="after"))["answer"]["order_closed"]["status"] == "SHIPPED"


# The brokers' own listings


def listed(*command: str, trial: str) -> set[str]:
    """What a broker's own tool lists of this trial, without the trial's name."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {line.removeprefix(f"{trial}.") for line in done.stdout.split() if line.startswith(trial)}


def ctl(url: str) -> str:
    """The script that bench.provision.rabbitmq writes beside the node it has started."""
    port = urlsplit(url).port
    for conf in HOME.glob("run-*/rabbitmq/rabbitmq.conf"):
        if f":{port}\n" in conf.read_text():
            return str(conf.with_name("ctl"))
    pytest.skip("this RabbitMQ was not started here, and its rabbitmqctl is elsewhere")


@pytest.mark.broker
async def test_rabbitmq_itself_lists_the_queues_of_a_trial_and_none_after_it(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    listing = (ctl(servers["rabbitmq"]), "list_queues", "--silent", "name")
    async with a_shop("broker", tmp_path, servers) as shop:
        during = listed(*listing, trial=shop.setting.trial)
    assert during == {*SERVICES, "reply.0", "unreadable"}
    assert listed(*listing, trial=shop.setting.trial) == set()


@pytest.mark.broker
async def test_kafka_itself_lists_the_topics_and_groups_of_a_trial_and_none_after_it(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    if why := kafka.unavailable_reason(HOME):
        pytest.skip(why)
    java = ("java", *kafka.TOOL_JVM_OPTIONS, "-cp", f"{kafka.jar_folder(HOME)}/*")
    at = ("--bootstrap-server", servers["kafka"], "--list")
    topics = (*java, "org.apache.kafka.tools.TopicCommand", *at)
    groups = (*java, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *at)
    async with a_shop("events", tmp_path, servers) as shop:
        trial = shop.setting.trial
        during = listed(*topics, trial=trial), listed(*groups, trial=trial)
    assert during == ({*KIND_BY_TYPE.values(), "unreadable"}, set(SERVICES))
    assert (listed(*topics, trial=trial), listed(*groups, trial=trial)) == (set(), set())
