"""Serves one service as a FastAPI application with one POST route.

``POST /order-placed`` takes a message; the response is the message that follows from it.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

from shop.messages import KIND_BY_TYPE
from shop.workflow import ENTRY_SERVICE, REQUEST_TYPES
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, handle_in_chain
from transports.errors import (
    ContentConflict,
    Failed,
    NoOutcome,
    NotAccepted,
    TooLarge,
    TransportError,
    Unavailable,
    Unreachable,
    Unreadable,
)
from transports.rest.client import ServiceCaller
from transports.rest.config import Config
from transports.rest.openapi import PROBLEM_MEDIA_TYPE, VERSION, describe_request, describe_responses
from transports.retry import RETRY_AFTER_S
from transports.security import Forbidden, Unauthenticated, build_guard
from transports.wire import Codec, load_codec
from transports.wire.compression import COMPRESSIONS

_log = logging.getLogger(__name__)

_STATUS_BY_ERROR: tuple[tuple[type[TransportError], int], ...] = (
    (Unreadable, 400),
    (TooLarge, 413),
    (ContentConflict, 422),
    (NotAccepted, 502),
    (Unreachable, 502),
    (NoOutcome, 504),
    (Unavailable, 503),
    (Failed, 502),
)


class _UnsupportedMediaType(Exception):
    pass


def build_application(
    processor: MessageProcessor, serving: ServingStats, ask: ServiceCaller, setting: Setting
) -> FastAPI:
    """Returns the FastAPI application of one service, with its OpenAPI page at /docs."""
    name = processor.service.name
    codec = load_codec(setting.codec)
    app = FastAPI(title=f"Fourways: the {name} service", docs_url=None, redoc_url=None)
    app.openapi_version = VERSION
    _serve_docs_offline(app)
    limit_bytes = setting.max_order_bytes if name == ENTRY_SERVICE else setting.max_message_bytes
    kind = KIND_BY_TYPE[REQUEST_TYPES[name]]
    guard = build_guard(setting, name)

    @app.post(
        f"/{kind}",
        response_class=Response,  # without a media type, so that FastAPI adds no empty schema
        openapi_extra=describe_request(name, codec),
        responses=describe_responses(name, codec),
    )
    async def take(request: Request) -> Response:
        """Hand the service a message; the answer is the fact that its sender, or someone before, has to consume."""
        try:
            content_type, encoding, accepted, length, authorization = _read_headers(request)
            if guard is not None:
                guard.check(authorization)
            _check_media_type(content_type, codec)
            _check_encoding(encoding)
            body = await _read_body(request, length, limit_bytes)
            arrived_ns = time.monotonic_ns()
            if encoding in COMPRESSIONS:
                body = COMPRESSIONS[encoding].decompress(body, limit_bytes)
            content = await handle_in_chain(processor, codec, codec.decode(kind, body), ask, arrived_ns)
        except TransportError as error:
            if isinstance(error, Unreadable):
                serving.unreadable += 1
            else:
                serving.failed += 1
            headers = {"retry-after": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else None
            status = next(status for known, status in _STATUS_BY_ERROR if isinstance(error, known))
            return _build_problem(status, str(error), headers)
        except _UnsupportedMediaType as error:
            serving.unreadable += 1
            return _build_problem(415, str(error))
        except (Unauthenticated, Forbidden) as error:
            _log.warning("refused a request: %s", error)
            if isinstance(error, Forbidden):
                return _build_problem(403, str(error))
            return _build_problem(401, str(error), {"www-authenticate": "Bearer"})
        serving.handled += 1
        # A caller that sends and accepts a compression gets it: our own callers do both, a person with curl neither.
        if encoding in COMPRESSIONS and encoding in accepted:
            compressed = COMPRESSIONS[encoding].compress(content)
            return Response(compressed, media_type=codec.content_type, headers={"content-encoding": encoding})
        return Response(content, media_type=codec.content_type)

    # FastAPI's own route of the endpoint describes it; this one matches first, and solves no dependencies per request.
    app.router.routes.insert(0, Route(f"/{kind}", take, methods=["POST"]))
    return app


def _read_headers(request: Request) -> tuple[str | None, str, str, int | None, str | None]:
    """Returns Content-Type, Content-Encoding, Accept-Encoding, Content-Length and Authorization.

    All in one pass over the header list: each look-up of Starlette's would be a pass of its own.
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


async def _read_body(request: Request, length: int | None, limit_bytes: int) -> bytes:
    """Returns the body.

    Raises TooLarge as soon as it is over the limit, as uvicorn has none, and Unreadable if it ends early.
    """
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


def _build_problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode({"status": status, "detail": detail}), status, headers, PROBLEM_MEDIA_TYPE)


@asynccontextmanager
async def run_server(
    app: Starlette, address: str, config: Config, context: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Runs uvicorn in this event loop until exit, with TLS if there is a context.

    Raises Unreachable when the port is taken.
    """
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
    with bind_socket(host, int(port)) as listener:
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
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Opens a listening socket. Raises Unreachable when the port is taken."""
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


def _serve_docs_offline(app: FastAPI) -> None:
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
