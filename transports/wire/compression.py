"""Compresses bodies with gzip or zstd; decompresses them up to a size limit."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

import zstandard

from transports.errors import TooLarge, Unreadable

_GZIP_WBITS = 16 + zlib.MAX_WBITS
"""The window bits with which zlib expects gzip's header and trailer."""
_CHUNK_BYTES = 64
"""The chunk of a frame of zstd: four bytes may be a block of 128 KiB."""


class Compression(ABC):
    """A compression algorithm. Stateless: one instance serves a process."""

    @abstractmethod
    def compress(self, body: bytes) -> bytes: ...

    @abstractmethod
    def decompress(self, body: bytes, limit_bytes: int) -> bytes:
        """Returns the body.

        Raises TooLarge once it is over ``limit_bytes``, and Unreadable if the input is broken or cut.
        """


class Gzip(Compression):
    """At zlib's usual level, 6, which gRPC takes too."""

    def compress(self, body: bytes) -> bytes:
        compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WBITS)
        return compressor.compress(body) + compressor.flush()

    def decompress(self, body: bytes, limit_bytes: int) -> bytes:
        decompressor = zlib.decompressobj(_GZIP_WBITS)
        try:
            found = decompressor.decompress(body, limit_bytes + 1)
        except zlib.error as error:
            raise Unreadable(f"not a body in gzip: {error}") from error
        if len(found) > limit_bytes:
            raise TooLarge(len(found), limit_bytes)
        if not decompressor.eof or decompressor.unused_data:
            raise Unreadable("not a whole body in gzip")
        return found


class Zstd(Compression):
    """At zstd's usual level, 3."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor().compress

    def compress(self, body: bytes) -> bytes:
        return self._compress(body)

    def decompress(self, body: bytes, limit_bytes: int) -> bytes:
        try:
            size_bytes = zstandard.get_frame_parameters(body).content_size
            if size_bytes == zstandard.CONTENTSIZE_UNKNOWN:
                return self._decompress_unsized(body, limit_bytes)
            if size_bytes > limit_bytes:
                raise TooLarge(size_bytes, limit_bytes)
            return zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Unreadable(f"not a body in zstd: {error}") from error

    def _decompress_unsized(self, body: bytes, limit_bytes: int) -> bytes:
        """Decompresses a frame that does not declare its size, in small chunks so that little can come out of each."""
        decompressor, found = zstandard.ZstdDecompressor().decompressobj(), bytearray()
        for start in range(0, len(body), _CHUNK_BYTES):
            found += decompressor.decompress(body[start : start + _CHUNK_BYTES])
            if len(found) > limit_bytes:
                raise TooLarge(len(found), limit_bytes)
        if not decompressor.eof or decompressor.unused_data:
            raise Unreadable("not a whole body in zstd")
        return bytes(found)


COMPRESSIONS: Mapping[str, Compression] = {"gzip": Gzip(), "zstd": Zstd()}
"""Compressions by their names in Content-Encoding."""
