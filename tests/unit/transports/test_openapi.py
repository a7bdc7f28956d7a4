"""Tests what a REST service says of itself, asked in process, and that its answers keep to it."""

import base64
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from shop.catalogue import PRODUCT_NAMES
from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, Message, Order, OrderLine
from shop.payments import DECLINED_CARD
from shop.workflow import REQUEST_TYPES, SERVICES, find_next_service, is_outcome, list_returned_types
from tests.conftest import build_order
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, handle_in_chain
from transports.rest.server import build_application
from transports.wire import load_codec

JSON = load_codec("json")
LIMIT_BYTES = 64 * 1024
SETTING = Setting(trial="t", addresses=dict.fromkeys(SERVICES, "nowhere"), max_message_bytes=LIMIT_BYTES)
SOLD_OUT = next(iter(PRODUCT_NAMES))


class Chain:
    """All four services in this process; each asks the next without a network."""

    def __init__(self) -> None:
        self.desks = {name: MessageProcessor(open_service(name)) for name in SERVICES}
        self.apps = {name: build_application(self.desks[name], ServingStats(), self.ask, SETTING) for name in SERVICES}

    async def ask(self, service: str, message: Message) -> bytes:
        return await handle_in_chain(self.desks[service], JSON, message, self.ask)

    async def get(self, path: str, service: str = "user") -> httpx.Response:
        return await self._request("GET", path, service)

    async def post(self, body: bytes, service: str = "user", **headers: str) -> httpx.Response:
        path = f"/{KIND_BY_TYPE[REQUEST_TYPES[service]]}"
        return await self._request("POST", path, service, content=body, headers=headers)

    async def _request(self, method: str, path: str, service: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.apps[service])
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **options)

    async def described(self, service: str) -> dict[str, Any]:
        page = (await self.get("/openapi.json", service)).json()
        (path,) = page["paths"]
        return dict(page["paths"][path]["post"])


@pytest.fixture
def chain() -> Chain:
    return Chain()


def fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a JSON value fits, by as much of the schema language as these schemas use."""
    if "oneOf" in schema:
        return sum(fits(one, value) for one in schema["oneOf"]) == 1
    if value not in schema.get("enum", [value]):
        return False
    if schema.get("type") == "object":
        known = schema["properties"]
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= set(value)
            and (schema.get("additionalProperties", True) or set(value) <= set(known))
            and all(fits(known[name], inner) for name, inner in value.items() if name in known)
        )
    if schema.get("type") == "array":
        return isinstance(value, list) and all(fits(schema["items"], item) for item in value)
    return _fits_scalar(schema, value)


def _fits_scalar(schema: Mapping[str, Any], value: Any) -> bool:
    if schema.get("type") == "integer":
        return isinstance(value, int) and bool(value >= schema.get("minimum", value))
    if schema.get("type") == "string":
        return isinstance(value, str) and (schema.get("format") != "byte" or _is_base64(value))
    return "enum" in schema  # whose values were looked at above


def _is_base64(text: str) -> bool:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


def build_request(service: str, order: Order) -> Message:
    """Returns what ``service`` is asked in a chain, for this order."""
    fields = {"order": order, "email": "a@example.org", "total_cents": 100, "payment_id": "p"}
    request = REQUEST_TYPES[service]
    return request(**{name: fields[name] for name in request.__dataclass_fields__})  # type: ignore[arg-type]


ORDERS: Mapping[str, Order] = {
    "ships": build_order("ships", document=b"\x00\xff"),
    "declined": build_order("declined", card=DECLINED_CARD),
    "not a quantity": build_order("none", lines=(OrderLine(SOLD_OUT, "n", 0, 1),)),
}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_endpoint_is_a_plain_route_ahead_of_the_one_that_describes_it(service: str, chain: Chain) -> None:
    app: FastAPI = chain.apps[service]
    path = f"/{KIND_BY_TYPE[REQUEST_TYPES[service]]}"
    at = [route for route in app.routes if getattr(route, "path", "") == path]
    assert [type(route) for route in at] == [Route, APIRoute]
    assert app.routes[0] is at[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_taken_and_answered_fits_the_schemas(service: str, order: str, chain: Chain) -> None:
    described = await chain.described(service)
    asked = JSON.encode(build_request(service, ORDERS[order]))
    answer = await chain.post(asked, service)
    assert answer.status_code == 200
    body = described["requestBody"]["content"]["application/json"]["schema"]
    assert fits(body, json.loads(asked)) == (order != "not a quantity")
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    assert _answers(schema) >= set(answer.json())
    if order != "not a quantity":
        assert fits(schema, answer.json()), answer.json()
    assert not fits(schema, {})
    assert not fits(schema, {"order_cancelled": next(iter(answer.json().values()))})


def _answers(schema: Mapping[str, Any]) -> set[str]:
    return {name for one in schema.get("oneOf", [schema]) for name in one["properties"]}


def test_what_may_come_back_follows_from_the_workflow() -> None:
    returned = {service: {fact.__name__ for fact in list_returned_types(service)} for service in SERVICES}
    assert returned == {
        "user": {"OrderClosed"},
        "product": {"OutOfStock", "StockReleased", "OrderShipped"},
        "payment": {"PaymentDeclined", "OrderShipped"},
        "shipping": {"OrderShipped"},
    }
    assert all(find_next_service(name, fact) is None for name in SERVICES for fact in list_returned_types(name))
    assert all(is_outcome(fact.__new__(fact)) for fact in list_returned_types("user"))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"document": base64.b64encode(b"any bytes").decode()}, 200),
        ({"document": "no base64!"}, 400),
        ({"document": "aGk"}, 400),  # without its padding
        ({"document": 7}, 400),
        ({"lines": [{"sku": "SKU-0003", "name": "n", "quantity": 2.5, "price_cents": 1}]}, 400),
        ({"lines": [{"sku": "SKU-0003", "name": "n", "quantity": 2.0, "price_cents": 1}]}, 400),
        ({"lines": [{"sku": "SKU-0003", "name": "n", "quantity": "2", "price_cents": 1}]}, 400),
        ({"lines": [{"sku": "SKU-0003", "name": "n", "quantity": 1, "price_cents": 1}]}, 200),
        ({"order_id": None}, 400),
    ],
)
async def test_the_service_takes_what_its_schema_says_and_nothing_else(
    change: dict[str, Any], status: int, chain: Chain
) -> None:
    described = await chain.described("user")
    content = described["requestBody"]["content"]["application/json"]
    asked = {"order": content["example"]["order"] | change}
    assert fits(content["schema"], asked) == (status == 200)
    answer = await chain.post(json.dumps(asked).encode())
    assert answer.status_code == status
    if status != 200:
        problem = described["responses"][str(status)]["content"][answer.headers["content-type"]]["schema"]
        assert fits(problem, answer.json())


async def test_a_whole_number_with_a_fraction_is_no_integer_here() -> None:
    """JSON Schema alone would take 2.0 for one, so the description says it."""
    described = await Chain().described("user")
    order = described["requestBody"]["content"]["application/json"]["schema"]["properties"]["order"]
    assert "2.0" in order["properties"]["lines"]["items"]["properties"]["quantity"]["description"]


Ask = Callable[[Chain], Awaitable[httpx.Response]]


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda chain: chain.post(b"{"), 400),
        (lambda chain: chain.post(b"x" * LIMIT_BYTES), 413),
        (lambda chain: chain.post(b"{}", **{"content-type": "text/plain"}), 415),
    ],
)
async def test_problems_stay_problems(ask: Ask, status: int, chain: Chain) -> None:
    answer = await ask(chain)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


async def test_other_paths_and_methods_are_fastapi_s_to_answer(chain: Chain) -> None:
    assert (await chain.get("/place-order")).status_code == 405
    assert (await chain.get("/place-order")).headers["allow"] == "POST"
    assert (await chain.get("/nothing")).status_code == 404
    assert (await chain.get("/nothing")).json() == {"detail": "Not Found"}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_page_and_its_schema_are_served(service: str, chain: Chain) -> None:
    page = await chain.get("/docs", service)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    described = await chain.described(service)
    assert set(described["responses"]) == {"200", "400", "401", "403", "413", "415", "422", "502", "503", "504"}
    assert "$ref" not in json.dumps(described)


@pytest.mark.parametrize(("codec", "format_"), [("json", "byte"), ("msgpack", "binary")])
def test_a_document_is_base64_in_json_alone(codec: str, format_: str) -> None:
    app = build_application(
        MessageProcessor(open_service("user")), ServingStats(), Chain().ask, replace(SETTING, codec=codec)
    )
    (content,) = app.openapi()["paths"]["/place-order"]["post"]["requestBody"]["content"].values()
    assert content["schema"]["properties"]["order"]["properties"]["document"]["format"] == format_


@pytest.mark.slow
def test_httpx_is_loaded_where_it_is_asked_for() -> None:
    code = "import sys, transports.rest; print('httpx' in sys.modules, 'httpx_aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
