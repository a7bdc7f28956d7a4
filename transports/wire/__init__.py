"""Codecs turn messages into bytes; every codec works on every transport."""

from transports.wire.codec import Codec, list_codecs, load_codec

__all__ = ["Codec", "list_codecs", "load_codec"]
