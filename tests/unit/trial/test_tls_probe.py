"""Tests parsing of ServerHello messages from real handshakes."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from bench.provision.certificates import make_keys
from bench.trial.tls_probe import (
    NegotiatedTls,
    find_entry_address,
    open_tls_tap,
    parse_negotiated_tls,
    route_through_tap,
)
from transports.base import Setting
from transports.security import RoleKeys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("made") / "keys")


def answer(keys: Path, *, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, curve: str = "") -> bytes:
    """What a server sends first, or twice when it asks for another try."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = RoleKeys(keys, "user")
    server.load_cert_chain(own.certificate, own.key)
    server.maximum_version = most
    if curve:
        server.set_ecdh_curve(curve)
    client = ssl.create_default_context(cafile=own.authority)
    to_client, to_server, sent = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    theirs = server.wrap_bio(to_server, back := ssl.MemoryBIO(), server_side=True)
    for _ in range(3):
        for end in (ours, theirs):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        chunk = back.read()
        sent += chunk
        to_client.write(chunk)
    return sent


def test_the_version_cipher_and_key_exchange_are_those_of_the_session(keys: Path) -> None:
    said = parse_negotiated_tls(answer(keys))
    assert said is not None
    assert (said.version, said.exchange) == ("TLSv1.3", "X25519")
    assert said.cipher in {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"}


def test_a_server_that_asks_for_another_try_is_heard_out(keys: Path) -> None:
    said = parse_negotiated_tls(answer(keys, curve="secp384r1"))
    assert said is not None
    assert said.exchange == "secp384r1"


def test_an_older_version_is_told_as_such(keys: Path) -> None:
    said = parse_negotiated_tls(answer(keys, most=ssl.TLSVersion.TLSv1_2))
    assert said is not None
    assert (said.version, said.exchange) == ("TLSv1.2", "")


def test_half_an_answer_says_nothing_yet(keys: Path) -> None:
    assert all(parse_negotiated_tls(answer(keys)[:size]) is None for size in (0, 1, 5, 6, 40, 80))


@pytest.mark.parametrize("other", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x00\x09\x01" * 9, bytes(200)])
def test_what_is_no_tls_says_nothing(other: bytes) -> None:
    assert parse_negotiated_tls(other) is None


@pytest.mark.parametrize(
    ("servers", "there"),
    [
        ({}, "127.0.0.1:7"),
        ({"rabbitmq": "amqps://guest:guest@127.0.0.1:5671/"}, "127.0.0.1:5671"),
        ({"kafka": "127.0.0.1:9093"}, "127.0.0.1:9093"),
    ],
)
async def test_a_buyer_comes_by_way_of_whoever_listens(servers: dict[str, str], there: str) -> None:
    setting = Setting(trial="t", addresses={"user": "127.0.0.1:7,127.0.0.1:8", "product": "x:1"}, servers=servers)
    assert find_entry_address(setting) == there
    async with open_tls_tap(there) as ear:
        assert find_entry_address(route_through_tap(ear, setting)) == ear.address
        assert ear.negotiated is None


def test_what_was_agreed_on_is_one_line() -> None:
    assert (
        str(NegotiatedTls("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519")) == "TLSv1.3, TLS_AES_128_GCM_SHA256, X25519"
    )
