"""What RabbitMQ is told about security: its listeners with TLS, its users and their rights."""

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.provision.base import Security
from bench.provision.ports import LOOPBACK
from shop.workflow import SERVICES
from transports.security import AUTH, BUYER, CIPHER, HARNESS, MTLS, NONE, Keys

GUEST = "guest"
_ALL = ".*"
_EXCHANGES = r"^(amq\.default|[^.]+\.facts)$"
"""Where commands and facts are published."""


SERVERS_ALONE = "tls"
"""The kind of listener that asks for no certificate of its clients."""


def kinds(levels: Sequence[str]) -> dict[str, str]:
    """By level the kind of listener that it takes: plain, with the server's certificate, or the client's as well."""
    return {level: level if level in (NONE, MTLS) else SERVERS_ALONE for level in levels}


def listeners(ports: Mapping[str, int], keys: str, host: str = LOOPBACK) -> str:
    """Lines of rabbitmq.conf, for a port by kind. One set of TLS settings is all that they can say: see ``further``."""
    plain = f"{host}:{ports[NONE]}" if NONE in ports else ""
    lines = [f"listeners.tcp.1 = {plain}" if plain else "listeners.tcp = none"]
    if secured := SERVERS_ALONE if SERVERS_ALONE in ports else MTLS if MTLS in ports else "":
        own = Keys(Path(keys), "rabbitmq")
        lines += [
            f"listeners.ssl.1 = {host}:{ports[secured]}",
            f"ssl_options.cacertfile = {own.authority}",
            f"ssl_options.certfile = {own.certificate}",
            f"ssl_options.keyfile = {own.key}",
            "ssl_options.versions.1 = tlsv1.3",
            f"ssl_options.ciphers.1 = {CIPHER}",
            f"ssl_options.verify = {'verify_peer' if secured == MTLS else 'verify_none'}",
            f"ssl_options.fail_if_no_peer_cert = {str(secured == MTLS).lower()}",
        ]
    return "".join(f"{line}\n" for line in lines)


def further(ports: Mapping[str, int], host: str = LOOPBACK) -> str:
    """What a node that takes clients with a certificate and clients without is told when it runs, in Erlang; else "".

    RabbitMQ's settings of TLS are those of all its listeners. The one that asks for certificates is added to them.
    """
    if not {MTLS, SERVERS_ALONE} <= ports.keys():
        return ""
    return (
        "Asked = [{verify, verify_peer}, {fail_if_no_peer_cert, true}], "
        "Given = [Option || {Key, _} = Option <- rabbit_networking:ensure_ssl(), not lists:keymember(Key, 1, Asked)], "
        f'ok = rabbit_networking:start_ssl_listener({{"{host}", {ports[MTLS]}}}, Asked ++ Given, 10).'
    )


def definitions(security: Security) -> str:
    """Users, each with a right to the queues that its role needs, as a file that RabbitMQ loads when it starts.

    Passwords are in it as RabbitMQ keeps them: salted and hashed. Whoever publishes does so through an exchange, to
    which there is one right for all that goes through it.
    """
    rights = {HARNESS: (_ALL, _ALL, _ALL), BUYER: ("^$", _EXCHANGES, r"^[^.]+\.(reply|order-closed)\.[0-9]+$")}
    for service in SERVICES:
        rights[service] = ("^$", _EXCHANGES, rf"^[^.]+\.{service}$")
    users: list[dict[str, Any]] = [_user(role, Keys(Path(security.keys), role).password) for role in rights]
    if security.levels != (AUTH,):
        # Whom the other levels come as.
        users.append(_user(GUEST, GUEST))
        rights[GUEST] = (_ALL, _ALL, _ALL)
    return json.dumps(
        {
            "vhosts": [{"name": "/"}],
            "users": users,
            "permissions": [
                {"user": user, "vhost": "/", "configure": configure, "write": write, "read": read}
                for user, (configure, write, read) in rights.items()
            ],
        },
        indent=2,
    )


def _user(name: str, password: str) -> dict[str, Any]:
    """RabbitMQ's hash: a salt of four bytes, and SHA-256 over it and the password. It may administer nothing."""
    salt = secrets.token_bytes(4)
    return {
        "name": name,
        "password_hash": b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }
