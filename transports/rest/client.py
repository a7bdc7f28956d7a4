"""Calls services over HTTP, and submits orders as the buyer."""

import itertools

import msgspec

from shop.messages import KIND_BY_TYPE, Message, PlaceOrder
from shop.workflow import ENTRY_SERVICE
from transports.base import Client, Receipt, Setting
from transports.dispatch import decode_receipt
from transports.errors import ContentConflict, Denied, Failed, NoOutcome, NotAccepted, TooLarge, Unavailable
from transports.rest.client_libraries import PostFunction
from transports.retry import retry_unreachable
from transports.security import NONE, build_bearer_header, list_callable_services
from transports.wire import Codec, load_codec
from transports.wire.compression import COMPRESSIONS


class ServiceCaller:
    """Calls services over HTTP: ``await caller(service, message)`` returns the encoded answer.

    Raises any of transports.errors.
    """

    def __init__(self, post: PostFunction, setting: Setting, role: str, retries: int = 0) -> None:
        """``role`` is the role that calls."""
        self._post = post
        self._codec = load_codec(setting.codec)
        self._compression = COMPRESSIONS.get(setting.compression)
        self._headers = {name: build_headers(setting, role, name) for name in list_callable_services(role)}
        # One process after the other, as a load balancer does; connections are pooled for each.
        scheme = "http" if setting.security == NONE else "https"
        self._urls = {
            name: itertools.cycle([f"{scheme}://{address}" for address in setting.addresses_of(name)])
            for name in setting.addresses
        }
        self._limit_bytes = setting.max_message_bytes
        self._deadline_s = setting.deadline_s
        self._retries = retries

    async def __call__(self, service: str, message: Message) -> bytes:
        body = self._codec.encode(message)
        sent = body if self._compression is None else self._compression.compress(body)
        kind = KIND_BY_TYPE[type(message)]
        if self._retries:
            headers = {**self._headers[service], "idempotency-key": message.order.order_id}

            async def once(within_s: float) -> tuple[int, str, bytes]:
                answer = await self._post(f"{next(self._urls[service])}/{kind}", sent, headers, within_s)
                if answer[0] == 503:
                    raise Unavailable(_read_detail(answer[2]))
                return answer

            status, encoding, content = await retry_unreachable(once, self._retries, self._deadline_s)
        else:
            url = f"{next(self._urls[service])}/{kind}"
            status, encoding, content = await self._post(url, sent, self._headers[service], self._deadline_s)
        if encoding in COMPRESSIONS:
            content = COMPRESSIONS[encoding].decompress(content, self._limit_bytes)
        if status == 200:
            return content
        if status == 413:
            raise TooLarge(len(body), self._limit_bytes)
        detail = _read_detail(content)
        if status in (400, 415):
            raise NotAccepted(f"{service} refused the message: {detail}")
        if status == 422:
            raise ContentConflict(detail)
        if status in (401, 403):
            raise Denied(f"{service} refused whoever asked: {detail}")
        if status == 503:
            raise Unavailable(detail)
        if status == 504:
            raise NoOutcome(detail)
        raise Failed(f"{service} answered {status}: {detail}")


def build_headers(setting: Setting, role: str, service: str) -> dict[str, str]:
    """Returns the headers of every request of ``role`` to ``service``."""
    headers = {"content-type": load_codec(setting.codec).content_type, "accept-encoding": "identity"}
    headers |= build_bearer_header(setting, role, service)
    if setting.compression != "none":
        headers |= {"content-encoding": setting.compression, "accept-encoding": setting.compression}
    return headers


class RestClient(Client):
    def __init__(self, ask: ServiceCaller, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return decode_receipt(self._codec, await self._ask(ENTRY_SERVICE, order))


def _read_detail(content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["detail"])
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        return content[:200].decode(errors="replace")
