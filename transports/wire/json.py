"""The JSON codec, by msgspec."""

import msgspec

from transports.wire.msgspec_codec import MsgspecCodec


class JsonCodec(MsgspecCodec):
    name = "json"
    content_type = "application/json"

    def __init__(self) -> None:
        super().__init__(msgspec.json.Encoder().encode, msgspec.json.Decoder)
