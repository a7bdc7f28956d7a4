"""Encryption, authentication and authorization at four levels, the same on every transport."""

from transports.security.bearer import AccessGuard, Forbidden, Unauthenticated, build_bearer_header, build_guard
from transports.security.broker_credentials import build_amqp_options, kafka
from transports.security.keys import RoleKeys, find_keys
from transports.security.levels import (
    AUTH,
    BUYER,
    CIPHER_SUITE,
    ENCRYPTED_LEVELS,
    HARNESS,
    LEVELS,
    MTLS,
    NONE,
    ROLES,
    TLS,
    find_producer_role,
    list_callable_services,
)
from transports.security.tls import build_client_context, build_server_context

__all__ = [
    "AUTH",
    "BUYER",
    "CIPHER_SUITE",
    "HARNESS",
    "LEVELS",
    "MTLS",
    "NONE",
    "ROLES",
    "ENCRYPTED_LEVELS",
    "TLS",
    "Forbidden",
    "AccessGuard",
    "RoleKeys",
    "Unauthenticated",
    "build_amqp_options",
    "list_callable_services",
    "build_bearer_header",
    "build_client_context",
    "build_guard",
    "kafka",
    "find_keys",
    "build_server_context",
    "find_producer_role",
]
