"""How messages become bytes. A codec is an axis of its own: every codec works on every transport."""

from transports.wire.codec import Codec, codec_named, codecs

__all__ = ["Codec", "codec_named", "codecs"]
