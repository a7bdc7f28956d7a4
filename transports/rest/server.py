"""A service as a FastAPI application: ``POST /order-placed`` with a fact, the answer is the fact that follows."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect
from swagger_ui_bundle import swagger_ui_path

from shop.catalogue import NAMES, PRICES_CENTS
from shop.messages import KIND, Line, Message, Order, PlaceOrder
from shop.payments import GOOD_CARD
from shop.workflow import FRONT, REQUEST
from transports.base import Serving, Setting
from transports.dispatch import Desk, answer
from transports.errors import Failed, NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable, Unreadable
from transports.rest.client import Asker
from transports.rest.config import Config
from transports.security import Forbidden, Unauthenticated, guard_of
from transports.wire import Codec, codec_named
from transports.wire.compression import COMPRESSIONS

_log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"  # RFC 9457

_STATUS: tuple[tuple[type[TransportError], int], ...] = (
    (Unreadable, 400),
    (TooLarge, 413),
    (NotAccepted, 502),
    (Unreachable, 502),
    (NoOutcome, 504),
    (Failed, 502),
)


class _UnsupportedMediaType(Exception):
    pass


def application(desk: Desk, serving: Serving, ask: Asker, setting: Setting) -> FastAPI:
    """The application of one service, with its OpenAPI page at /docs."""
    name = desk.service.name
    codec = codec_named(setting.codec)
    # 3.0.3 is what the bundled page reads; nothing in these schemas needs more.
    app = FastAPI(title=f"Fourways: the {name} service", docs_url=None, redoc_url=None)
    app.openapi_version = "3.0.3"
    _docs_without_network(app)
    request_type = REQUEST[name]
    limit_bytes = setting.max_order_bytes if name == FRONT else setting.max_message_bytes
    kind = KIND[request_type]
    guard = guard_of(setting, name)

    @app.post(f"/{kind}", openapi_extra=_schema(request_type, codec), responses=_RESPONSES)
    async def take(request: Request) -> Response:
        """Hand the service a message; the answer is the fact that its sender, or someone before, has to consume."""
        try:
            content_type, encoding, accepted, length, authorization = _headers(request)
            if guard is not None:
                guard.check(authorization)
            _check_media_type(content_type, codec)
            _check_encoding(encoding)
            body = await _body(request, length, limit_bytes)
            arrived_ns = time.monotonic_ns()
            if encoding in COMPRESSIONS:
                body = COMPRESSIONS[encoding].decompress(body, limit_bytes)
            content = await answer(desk, codec, codec.decode(kind, body), ask, arrived_ns)
        except TransportError as error:
            if isinstance(error, Unreadable):
                serving.unreadable += 1
            else:
                serving.failed += 1
            return _problem(next(status for known, status in _STATUS if isinstance(error, known)), str(error))
        except _UnsupportedMediaType as error:
            serving.unreadable += 1
            return _problem(415, str(error))
        except (Unauthenticated, Forbidden) as error:
            _log.warning("refused a request: %s", error)
            if isinstance(error, Forbidden):
                return _problem(403, str(error))
            return _problem(401, str(error), {"www-authenticate": "Bearer"})
        serving.handled += 1
        # Whoever sends compressed and takes it gets it: a caller of ours says both, a person with curl neither.
        if encoding in COMPRESSIONS and encoding in accepted:
            compressed = COMPRESSIONS[encoding].compress(content)
            return Response(compressed, media_type=codec.content_type, headers={"content-encoding": encoding})
        return Response(content, media_type=codec.content_type)

    return app


def _headers(request: Request) -> tuple[str | None, str, str, int | None, str | None]:
    """Content-Type, Content-Encoding, Accept-Encoding, Content-Length and Authorization.

    In one walk over what the server gives: each look-up of Starlette's is one.
    """
    content_type = length = authorization = None
    encoding = accepted = ""
    for name, value in request.scope["headers"]:  # ASGI: names in lower case
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-length":
            length = int(value)  # httptools lets nothing but digits through
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
        elif name == b"accept-encoding":
            accepted = value.decode("latin-1").lower()
        elif name == b"authorization":
            authorization = value.decode("latin-1")
    return content_type, encoding, accepted, length, authorization


def _check_media_type(content_type: str | None, codec: Codec) -> None:
    if content_type is None or content_type == codec.content_type:
        return
    if content_type.partition(";")[0].strip().lower() != codec.content_type:
        raise _UnsupportedMediaType(f"this service reads {codec.content_type}, not {content_type}")


def _check_encoding(encoding: str) -> None:
    if encoding not in ("", "identity", *COMPRESSIONS):
        raise _UnsupportedMediaType(f"this service reads bodies in {', '.join(COMPRESSIONS)} or none, not {encoding}")


async def _body(request: Request, length: int | None, limit_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be too large: uvicorn itself has no limit."""
    if length is not None and length > limit_bytes:
        raise TooLarge(length, limit_bytes)
    try:
        if length is not None:
            return await request.body()
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise TooLarge(len(body), limit_bytes)
    except ClientDisconnect as error:
        raise Unreadable("the body broke off: whoever sent it has gone") from error
    return bytes(body)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode({"status": status, "detail": detail}), status, headers, PROBLEM)


@asynccontextmanager
async def listening(
    app: FastAPI, address: str, config: Config, context: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """uvicorn in this event loop, with TLS where there is a context. Raises Unreachable when the port is taken."""
    host, _, port = address.rpartition(":")
    settings = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=config.server_keepalive_s,
        backlog=2048,
        ssl_context_factory=None if context is None else lambda _, __: context,
    )
    server = _Server(settings)
    with bound(host, int(port)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process that hosts us, not to us."""
        yield


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket. Raises Unreachable when the port is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError as error:
            raise Unreachable(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
        yield listener
    finally:
        listener.close()


def _docs_without_network(app: FastAPI) -> None:
    app.mount("/swagger-ui", StaticFiles(directory=swagger_ui_path))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/swagger-ui/swagger-ui-bundle.js",
            swagger_css_url="/swagger-ui/swagger-ui.css",
            swagger_favicon_url="/swagger-ui/favicon-32x32.png",
        )


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "the fact that follows, as the one member of an object"},
    400: {"description": "the body cannot be read"},
    401: {"description": "nobody knows who asks; at SECURITY=auth alone"},
    403: {"description": "who asks may not"},
    413: {"description": "the body is over the size limit"},
    415: {"description": "the service reads another format"},
    502: {"description": "a service further along cannot be reached or failed"},
    504: {"description": "a service further along did not answer in time"},
}


def _schema(request_type: type[Message], codec: Codec) -> dict[str, Any]:
    """What a person needs to try it: the schema of the body, and an order that ships."""
    schema = msgspec.json.schema(request_type)
    definitions = schema["$defs"]
    body = _inlined({"$ref": schema["$ref"]}, definitions)
    content: dict[str, Any] = {"schema": body}
    if request_type is PlaceOrder:
        content["example"] = msgspec.to_builtins(example_order())
    return {"requestBody": {"required": True, "content": {codec.content_type: content}}}


def example_order() -> PlaceOrder:
    """An order that ships."""
    sku = next(iter(NAMES))
    line = Line(sku, NAMES[sku], 2, PRICES_CENTS[sku])
    return PlaceOrder(Order("order-1", "user-1", GOOD_CARD, "3 Canal Street, Leiden", (line,)))


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """References resolved in place: OpenAPI keeps its definitions elsewhere, and ours are small."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}
