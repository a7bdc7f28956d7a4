"""Asking a service over HTTP, and the buyer who does."""

import itertools

import msgspec

from shop.messages import KIND, Message, PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Receipt, Setting
from transports.dispatch import told
from transports.errors import Denied, Failed, NoOutcome, NotAccepted, TooLarge
from transports.rest.client_libraries import Post
from transports.retry import reached
from transports.security import NONE, asked_by, bearer
from transports.wire import Codec, codec_named
from transports.wire.compression import COMPRESSIONS


class Asker:
    """``await asker(service, message)`` is the answer, encoded. Raises any of transports.errors."""

    def __init__(self, post: Post, setting: Setting, role: str, retries: int = 0) -> None:
        """``role`` is who asks."""
        self._post = post
        self._codec = codec_named(setting.codec)
        self._compression = COMPRESSIONS.get(setting.compression)
        self._headers = {name: headers_of(setting, role, name) for name in asked_by(role)}
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
        kind = KIND[type(message)]
        if self._retries:
            headers = {**self._headers[service], "idempotency-key": message.order.order_id}

            async def once(within_s: float) -> tuple[int, str, bytes]:
                return await self._post(f"{next(self._urls[service])}/{kind}", sent, headers, within_s)

            status, encoding, content = await reached(once, self._retries, self._deadline_s)
        else:
            url = f"{next(self._urls[service])}/{kind}"
            status, encoding, content = await self._post(url, sent, self._headers[service], self._deadline_s)
        if encoding in COMPRESSIONS:
            content = COMPRESSIONS[encoding].decompress(content, self._limit_bytes)
        if status == 200:
            return content
        if status == 413:
            raise TooLarge(len(body), self._limit_bytes)
        detail = _detail(content)
        if status in (400, 415):
            raise NotAccepted(f"{service} refused the message: {detail}")
        if status in (401, 403):
            raise Denied(f"{service} refused whoever asked: {detail}")
        if status == 504:
            raise NoOutcome(detail)
        raise Failed(f"{service} answered {status}: {detail}")


def headers_of(setting: Setting, role: str, service: str) -> dict[str, str]:
    """Of every request of that role to that service."""
    headers = {"content-type": codec_named(setting.codec).content_type, "accept-encoding": "identity"}
    headers |= bearer(setting, role, service)
    if setting.compression != "none":
        headers |= {"content-encoding": setting.compression, "accept-encoding": setting.compression}
    return headers


class RestClient(Client):
    def __init__(self, ask: Asker, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return told(self._codec, await self._ask(FRONT, order))


def _detail(content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["detail"])
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        return content[:200].decode(errors="replace")
