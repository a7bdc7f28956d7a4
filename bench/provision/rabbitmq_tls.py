"""Builds RabbitMQ's security configuration: TLS listeners, users and their permissions."""

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
from transports.security import AUTH, BUYER, CIPHER_SUITE, HARNESS, MTLS, NONE, RoleKeys

GUEST = "guest"
_EVERYTHING = ".*"
_EXCHANGES = r"^(amq\.default|[^.]+\.facts)$"
"""Where commands and facts are published."""


SERVER_TLS = "tls"
"""The kind of listener that asks for no certificate of its clients."""


def choose_listener_kinds(levels: Sequence[str]) -> dict[str, str]:
    """Return the kind of listener for each level: plain, with a server certificate, or with client certificates too."""
    return {level: level if level in (NONE, MTLS) else SERVER_TLS for level in levels}


def format_listeners(ports: Mapping[str, int], keys: str, host: str = LOOPBACK) -> str:
    """Return the listener lines of rabbitmq.conf for a port by kind.

    The file holds one set of TLS settings, for all listeners; ``format_mtls_listener`` adds the second.
    """
    plain = f"{host}:{ports[NONE]}" if NONE in ports else ""
    lines = [f"listeners.tcp.1 = {plain}" if plain else "listeners.tcp = none"]
    if secured := SERVER_TLS if SERVER_TLS in ports else MTLS if MTLS in ports else "":
        own = RoleKeys(Path(keys), "rabbitmq")
        lines += [
            f"listeners.ssl.1 = {host}:{ports[secured]}",
            f"ssl_options.cacertfile = {own.authority}",
            f"ssl_options.certfile = {own.certificate}",
            f"ssl_options.keyfile = {own.key}",
            "ssl_options.versions.1 = tlsv1.3",
            f"ssl_options.ciphers.1 = {CIPHER_SUITE}",
            f"ssl_options.verify = {'verify_peer' if secured == MTLS else 'verify_none'}",
            f"ssl_options.fail_if_no_peer_cert = {str(secured == MTLS).lower()}",
        ]
    return "".join(f"{line}\n" for line in lines)


def format_mtls_listener(ports: Mapping[str, int], host: str = LOOPBACK) -> str:
    """Return Erlang that adds a listener for clients with certificates to a running node; "" where none is needed.

    rabbitmq.conf has one set of TLS settings for all listeners, so a node that takes clients with and without
    certificates needs the second listener added at run time.
    """
    if not {MTLS, SERVER_TLS} <= ports.keys():
        return ""
    return (
        "Asked = [{verify, verify_peer}, {fail_if_no_peer_cert, true}], "
        "Given = [Option || {Key, _} = Option <- rabbit_networking:ensure_ssl(), not lists:keymember(Key, 1, Asked)], "
        f'ok = rabbit_networking:start_ssl_listener({{"{host}", {ports[MTLS]}}}, Asked ++ Given, 10).'
    )


def format_definitions(security: Security) -> str:
    """Return a definitions file for RabbitMQ, as JSON: users, each with permission for the queues of its role.

    Passwords are in it as RabbitMQ keeps them, salted and hashed. Publishing goes through an exchange, which has one
    permission for all that goes through it.
    """
    rights = {
        HARNESS: (_EVERYTHING, _EVERYTHING, _EVERYTHING),
        BUYER: ("^$", _EXCHANGES, r"^[^.]+\.(reply|order-closed)\.[0-9]+$"),
    }
    for service in SERVICES:
        rights[service] = ("^$", _EXCHANGES, rf"^[^.]+\.{service}$")
    users: list[dict[str, Any]] = [_build_user(role, RoleKeys(Path(security.keys), role).password) for role in rights]
    if security.levels != (AUTH,):
        # Whom the other levels come as.
        users.append(_build_user(GUEST, GUEST))
        rights[GUEST] = (_EVERYTHING, _EVERYTHING, _EVERYTHING)
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


def _build_user(name: str, password: str) -> dict[str, Any]:
    """RabbitMQ's hash: a salt of four bytes, and SHA-256 over it and the password. It may administer nothing."""
    salt = secrets.token_bytes(4)
    return {
        "name": name,
        "password_hash": b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }
