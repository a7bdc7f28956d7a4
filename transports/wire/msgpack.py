"""The MessagePack codec, by msgspec."""

import msgspec

from transports.wire.msgspec_codec import MsgspecCodec


class MsgpackCodec(MsgspecCodec):
    name = "msgpack"
    content_type = "application/vnd.msgpack"

    def __init__(self) -> None:
        super().__init__(msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder)
