"""The codec interface, and a loader of codecs by name."""

from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import ClassVar

from shop.messages import Message
from transports.errors import SettingError, describe_unknown

_CODEC_CLASSES = {"json": "JsonCodec", "msgpack": "MsgpackCodec", "protobuf": "ProtobufCodec", "avro": "AvroCodec"}


class Codec(ABC):
    """Converts messages to bytes and back, without loss. Stateless: one instance serves a process."""

    name: ClassVar[str]
    content_type: ClassVar[str]

    def convert(self, message: Message) -> object:
        """Returns what ``encode`` gives to the format's library: the message itself if that takes dataclasses."""
        return message

    @abstractmethod
    def encode(self, message: Message) -> bytes:
        """Returns the body of a message whose kind is sent beside it (in a path, a method, a header, a topic)."""

    @abstractmethod
    def decode(self, kind: str, body: bytes) -> Message:
        """Returns the message of this kind in ``body``. Raises Unreadable if it is not one, or the kind is unknown."""

    @abstractmethod
    def encode_answer(self, fact: Message) -> bytes:
        """Returns a body that names its own kind: an object (a map, a oneof) with one member, named after the kind."""

    @abstractmethod
    def decode_answer(self, body: bytes) -> Message:
        """Returns the message in ``body``. Raises Unreadable when it is not an answer."""

    @abstractmethod
    def read_answer_type(self, body: bytes) -> type[Message]:
        """Returns the type that ``decode_answer`` would return, from the first bytes alone.

        Raises Unreadable if they do not show it.
        """


def list_codecs() -> tuple[str, ...]:
    """Returns the names of all codecs."""
    return tuple(_CODEC_CLASSES)


@cache
def load_codec(name: str) -> Codec:
    """Returns the codec called ``name``. Raises SettingError with the nearest known name."""
    if name not in _CODEC_CLASSES:
        raise SettingError(describe_unknown("codec", name, list_codecs()), code="unknown-codec")
    # Imported when asked for: protobuf alone costs a process more start-up than the rest of the wire together.
    found: type[Codec] = getattr(import_module(f"transports.wire.{name}"), _CODEC_CLASSES[name])
    return found()
