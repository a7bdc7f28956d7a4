"""Base class of the JSON and MessagePack codecs: msgspec encodes the dataclasses directly."""

from collections.abc import Callable
from typing import Any

import msgspec

from shop.messages import KIND_BY_TYPE, MESSAGES, TYPE_BY_KIND, Message
from transports.errors import Unreadable
from transports.wire.codec import Codec

Answer = msgspec.defstruct(
    "Answer",
    [(kind.replace("-", "_"), message | None, None) for message, kind in KIND_BY_TYPE.items()],
    omit_defaults=True,
    frozen=True,
)
"""One member, named after the kind of the fact: what protobuf calls a oneof."""

_FIELD_NAMES = {message: KIND_BY_TYPE[message].replace("-", "_") for message in MESSAGES}
_NAME_SLICE = slice(2, 11)
"""The bytes of an answer's member name in both formats, as many as distinguish it from the others."""
_TYPE_BY_NAME = {
    name.encode()[: _NAME_SLICE.stop - _NAME_SLICE.start]: message for message, name in _FIELD_NAMES.items()
}


class MsgspecCodec(Codec):
    """Base class; a subclass names the format."""

    def __init__(self, encode: Callable[[Any], bytes], decoder: Callable[[Any], Any]) -> None:
        """``decoder(type)`` makes a reusable decoder for a type."""
        self._encode = encode
        self._decode = {kind: decoder(message).decode for kind, message in TYPE_BY_KIND.items()}
        self._decode_answer = decoder(Answer).decode

    def encode(self, message: Message) -> bytes:
        return self._encode(message)

    def decode(self, kind: str, body: bytes) -> Message:
        try:
            message: Message = self._decode[kind](body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
            raise Unreadable(f"not a {kind} in {self.name}: {error}") from error
        return message

    def encode_answer(self, fact: Message) -> bytes:
        return self._encode({_FIELD_NAMES[type(fact)]: fact})

    def decode_answer(self, body: bytes) -> Message:
        try:
            answer = self._decode_answer(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"not an answer in {self.name}: {error}") from error
        for field in Answer.__struct_fields__:
            fact: Message | None = getattr(answer, field)
            if fact is not None:
                return fact
        raise Unreadable(f"an answer in {self.name} without a fact")

    def read_answer_type(self, body: bytes) -> type[Message]:
        fact = _TYPE_BY_NAME.get(body[_NAME_SLICE])
        return type(self.decode_answer(body)) if fact is None else fact
