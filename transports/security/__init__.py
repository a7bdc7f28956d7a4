"""Encryption, authentication and authorization at four levels, the same on every transport."""

from transports.security.bearer import build_bearer_header, build_guard
from transports.security.broker_credentials import build_amqp_options, build_kafka_options
from transports.security.guard import AccessGuard, Forbidden, Unauthenticated
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
    "ENCRYPTED_LEVELS",
    "HARNESS",
    "LEVELS",
    "MTLS",
    "NONE",
    "ROLES",
    "TLS",
    "AccessGuard",
    "Forbidden",
    "RoleKeys",
    "Unauthenticated",
    "build_amqp_options",
    "build_bearer_header",
    "build_client_context",
    "build_guard",
    "build_kafka_options",
    "build_server_context",
    "find_keys",
    "find_producer_role",
    "list_callable_services",
]
