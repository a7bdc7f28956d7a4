"""The levels of security, and the roles that have an identity.

| level | the server | the client | who is it? |
|---|---|---|---|
| none | plain TCP | | |
| tls | shows its certificate, TLS 1.3 | checks it | nobody asks |
| mtls | the same | shows one of its own | whoever the authority knows |
| auth | as with tls | | a bearer token, or user and password; and may do what its role needs |
"""

from shop.messages import KIND
from shop.workflow import SERVICES, told_by

NONE, TLS, MTLS, AUTH = LEVELS = ("none", "tls", "mtls", "auth")

SECURED = frozenset(LEVELS) - {NONE}
"""Those at which a connection is encrypted."""

CIPHER = "TLS_AES_128_GCM_SHA256"
"""The suite of all four methods: the one that every implementation of TLS 1.3 has to have (RFC 8446, section 9.1), and
the only one that gRPC cannot be talked out of."""

BUYER, HARNESS = "buyer", "harness"
"""Who orders; and who makes queues and topics, and removes them."""
ROLES = (*SERVICES, BUYER, HARNESS)
"""Everyone that connects to something, and has a certificate, a password and tokens."""


_TELLER = {KIND[message]: service for service in SERVICES for message in told_by(service)}


def teller_of(kind: str) -> str:
    """The role that alone may send messages of that kind: the service that answers with it, and else the buyer."""
    return _TELLER.get(kind, BUYER)


def asked_by(role: str) -> tuple[str, ...]:
    """The services that a role may ask in a chain."""
    return tuple(service for service in SERVICES if role in callers_of(service))


def callers_of(service: str) -> frozenset[str]:
    """The roles that may ask a service in a chain: whoever stands right before it."""
    place = SERVICES.index(service)
    return frozenset({SERVICES[place - 1] if place else BUYER})
