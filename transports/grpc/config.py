"""Options of the gRPC transport and of its channels."""

from collections.abc import Mapping
from typing import Literal

import grpc
import msgspec

GRPC_COMPRESSIONS: Mapping[str, grpc.Compression | None] = {"none": None, "gzip": grpc.Compression.Gzip}
"""Compressions by their names in ``grpc-encoding``. (Its deflate is the same algorithm.)"""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client: Literal["grpcio"] = "grpcio"
    """The library that asks; there is one, named so that CLIENT= reads alike for every method."""

    retries: int = 0
    """How often a call is repeated after a refused or lost connection; with an idempotency-key then."""

    idle_s: float = 0.0
    """How long a connection may be idle; 0: as long as it likes. The server closes it, within two to two and a half
    times as long: the client's own option works once and never again after a reconnect (grpcio 1.85.1)."""

    stop_grace_s: float = 5.0
    """How long calls in hand may go on when a server stops."""


def build_channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Returns channel options: our size limit instead of the library's 4 MiB, no proxy, fast reconnects."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),  # the receiver refuses, with RESOURCE_EXHAUSTED
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_channelz", 0),
        # A peer that is back is found within a second, and not within two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def build_idle_options(seconds: float) -> list[tuple[str, int]]:
    """Returns the server option that closes connections idle for ``seconds``; none for 0."""
    return [("grpc.max_connection_idle_ms", round(seconds * 1000))] if seconds else []


def build_decompression_option(compression: str) -> tuple[str, int]:
    """Returns the server option that accepts only this compression.

    gRPC has no limit on decompressed data and checks its size only afterwards.
    """
    bits = {"none": 0b001, "gzip": 0b101}  # grpc_compression_algorithm: identity, deflate, gzip
    return ("grpc.compression_enabled_algorithms_bitset", bits[compression])
