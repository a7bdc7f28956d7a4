"""Security levels, and the roles that have an identity.

| level | the server | the client | how the client is identified |
|---|---|---|---|
| none | plain TCP | | |
| tls | shows its certificate, TLS 1.3 | checks it | it is not |
| mtls | the same | shows one of its own | by a certificate that the authority signed |
| auth | as with tls | | by a bearer token, or user and password; it may do only what its role needs |
"""

from shop.messages import KIND_BY_TYPE
from shop.workflow import SERVICES, list_answer_types

NONE, TLS, MTLS, AUTH = LEVELS = ("none", "tls", "mtls", "auth")

ENCRYPTED_LEVELS = frozenset(LEVELS) - {NONE}
"""The levels at which a connection is encrypted."""

CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
"""The suite of all four methods: the one that every implementation of TLS 1.3 has to have (RFC 8446, section 9.1), and
the only one that gRPC cannot be talked out of."""

BUYER, HARNESS = "buyer", "harness"
"""The role that orders, and the role that makes and removes queues and topics."""
ROLES = (*SERVICES, BUYER, HARNESS)
"""All roles that open connections; each has a certificate, a password and tokens."""


_PRODUCER_BY_KIND = {KIND_BY_TYPE[message]: service for service in SERVICES for message in list_answer_types(service)}


def find_producer_role(kind: str) -> str:
    """Returns the only role that may send messages of this kind: the service that produces it, or else the buyer."""
    return _PRODUCER_BY_KIND.get(kind, BUYER)


def list_callable_services(role: str) -> tuple[str, ...]:
    """Returns the services that ``role`` may call in a chain."""
    return tuple(service for service in SERVICES if role in list_callers(service))


def list_callers(service: str) -> frozenset[str]:
    """Returns the roles that may call ``service`` in a chain: the one right before it."""
    place = SERVICES.index(service)
    return frozenset({SERVICES[place - 1] if place else BUYER})
