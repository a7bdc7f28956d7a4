"""The face of a codec, and codecs by name."""

from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import ClassVar

from shop.messages import Message
from transports.errors import SettingError, unknown

_MODULES = {"json": "JsonCodec", "msgpack": "MsgpackCodec", "protobuf": "ProtobufCodec", "avro": "AvroCodec"}


class Codec(ABC):
    """Messages to bytes and back, without loss. Stateless: one instance serves a process."""

    name: ClassVar[str]
    content_type: ClassVar[str]

    def convert(self, message: Message) -> object:
        """What ``encode`` hands to the format's library: the message itself where that takes dataclasses."""
        return message

    @abstractmethod
    def encode(self, message: Message) -> bytes:
        """The body of a message whose kind travels beside it (a path, a method, a header, a topic)."""

    @abstractmethod
    def decode(self, kind: str, body: bytes) -> Message:
        """Raises Unreadable when ``body`` is not a ``kind``, or there is no such kind."""

    @abstractmethod
    def encode_answer(self, fact: Message) -> bytes:
        """A body that says its kind itself: an object (a map, a oneof) with one member, named after the kind."""

    @abstractmethod
    def decode_answer(self, body: bytes) -> Message:
        """Raises Unreadable when ``body`` is not an answer."""

    @abstractmethod
    def type_of_answer(self, body: bytes) -> type[Message]:
        """What ``decode_answer`` would give, from the first bytes alone. Raises Unreadable when they do not say."""


def codecs() -> tuple[str, ...]:
    """The names of all codecs."""
    return tuple(_MODULES)


@cache
def codec_named(name: str) -> Codec:
    """The codec called ``name``. Raises SettingError with the nearest right name."""
    if name not in _MODULES:
        raise SettingError(unknown("codec", name, codecs()), code="unknown-codec")
    # Imported when asked for: protobuf alone costs a process more start-up than the rest of the wire together.
    found: type[Codec] = getattr(import_module(f"transports.wire.{name}"), _MODULES[name])
    return found()
