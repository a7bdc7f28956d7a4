"""Describes a service's POST route for OpenAPI 3.0: what it takes, what it answers, what it refuses."""

from typing import Any

import msgspec

from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES
from shop.messages import KIND_BY_TYPE, Message, Order, OrderLine, PlaceOrder
from shop.payments import GOOD_CARD
from shop.workflow import REQUEST_TYPES, list_returned_types
from transports.wire import Codec

VERSION = "3.0.3"
"""What the bundled page reads; nothing in these schemas needs more."""
PROBLEM_MEDIA_TYPE = "application/problem+json"  # RFC 9457

_REFUSALS = {
    400: "the body cannot be read",
    401: "nobody knows who asks; at SECURITY=auth alone",
    403: "who asks may not",
    413: "the body is over the size limit",
    415: "the service reads another format",
    422: "the order id was used before, for other content",
    502: "a service failed, this one or one further along, or cannot be reached",
    503: "the service cannot store anything for now; Retry-After says when to try again",
    504: "a service further along did not answer in time",
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["status", "detail"],
    "properties": {"status": {"type": "integer"}, "detail": {"type": "string"}},
}


def describe_request(service: str, codec: Codec) -> dict[str, Any]:
    """Returns the request body: its schema, and for an order an example that ships."""
    request = REQUEST_TYPES[service]
    content: dict[str, Any] = {"schema": _build_schema(request, codec)}
    if request is PlaceOrder:
        content["example"] = msgspec.to_builtins(build_example_order())
    return {"requestBody": {"required": True, "content": {codec.content_type: content}}}


def describe_responses(service: str, codec: Codec) -> dict[int | str, dict[str, Any]]:
    """Returns the responses by status: the facts that may come back, and the problems."""
    facts = [_build_answer_schema(fact, codec) for fact in list_returned_types(service)]
    answer: dict[str, Any] = {
        "description": "the fact that follows, as the one member of an object",
        "content": {codec.content_type: {"schema": facts[0] if len(facts) == 1 else {"oneOf": facts}}},
    }
    problem = {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}}
    return {200: answer, **{status: {"description": why, "content": problem} for status, why in _REFUSALS.items()}}


def build_example_order() -> PlaceOrder:
    """Returns an order that will be shipped."""
    sku = next(iter(PRODUCT_NAMES))
    line = OrderLine(sku, PRODUCT_NAMES[sku], 2, PRICES_CENTS[sku])
    return PlaceOrder(Order("order-1", "user-1", GOOD_CARD, "3 Canal Street, Leiden", (line,)))


def _build_answer_schema(fact: type[Message], codec: Codec) -> dict[str, Any]:
    name = KIND_BY_TYPE[fact].replace("-", "_")
    return {
        "type": "object",
        "title": f"{fact.__name__}Answer",
        "required": [name],
        "properties": {name: _build_schema(fact, codec)},
        "additionalProperties": False,
    }


def _build_schema(message: type[Message], codec: Codec) -> dict[str, Any]:
    """Returns the schema of a message, as OpenAPI 3.0 says it."""
    schema = msgspec.json.schema(message)
    described: dict[str, Any] = _inline_references({"$ref": schema["$ref"]}, schema["$defs"])
    order = described["properties"]["order"]["properties"]
    order["document"] = {
        "type": "string",
        "format": "byte" if codec.name == "json" else "binary",
        "default": "",
        "description": "an attachment that no service reads; in JSON base64 with its padding (RFC 4648, section 4)",
    }
    line = order["lines"]["items"]["properties"]
    line["quantity"] |= {
        "minimum": 1,
        "description": "whole units: 2, and neither 2.0 nor 2.5; below 1 is out of stock",
    }
    line["price_cents"] |= {"description": "whole cents; the catalogue's own price goes first"}
    return described


def _inline_references(schema: Any, definitions: dict[str, Any]) -> Any:
    """Returns the schema with its references replaced by their definitions, which OpenAPI keeps elsewhere."""
    if isinstance(schema, list):
        return [_inline_references(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline_references(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inline_references(value, definitions) for key, value in schema.items()}
