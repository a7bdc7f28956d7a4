"""Asking a service over HTTP, and the buyer who does."""

import msgspec

from shop.messages import KIND, Message, PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Receipt, Setting
from transports.errors import Failed, NoOutcome, NotAccepted, TooLarge
from transports.relay import told
from transports.rest.engines import Post
from transports.wire import Codec, codec_named


class Asker:
    """``await asker(service, message)`` is the answer, encoded. Raises any of transports.errors."""

    def __init__(self, post: Post, setting: Setting) -> None:
        self._post = post
        self._codec = codec_named(setting.codec)
        self._addresses = setting.addresses
        self._limit_bytes = setting.max_message_bytes

    async def __call__(self, service: str, message: Message) -> bytes:
        body = self._codec.encode(message)
        status, content = await self._post(f"http://{self._addresses[service]}/{KIND[type(message)]}", body)
        if status == 200:
            return content
        if status == 413:
            raise TooLarge(len(body), self._limit_bytes)
        detail = _detail(content)
        if status in (400, 415):
            raise NotAccepted(f"{service} refused the message: {detail}")
        if status == 504:
            raise NoOutcome(detail)
        raise Failed(f"{service} answered {status}: {detail}")


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
