"""Who may speak with whom, and what nobody else may read: four levels, the same on every method."""

from transports.security.bearer import Forbidden, Guard, Unauthenticated, bearer, guard_of
from transports.security.broker_credentials import amqp, kafka
from transports.security.keys import Keys, keys_of
from transports.security.levels import (
    AUTH,
    BUYER,
    CIPHER,
    HARNESS,
    LEVELS,
    MTLS,
    NONE,
    ROLES,
    SECURED,
    TLS,
    asked_by,
    teller_of,
)
from transports.security.tls import client_context, server_context

__all__ = [
    "AUTH",
    "BUYER",
    "CIPHER",
    "HARNESS",
    "LEVELS",
    "MTLS",
    "NONE",
    "ROLES",
    "SECURED",
    "TLS",
    "Forbidden",
    "Guard",
    "Keys",
    "Unauthenticated",
    "amqp",
    "asked_by",
    "bearer",
    "client_context",
    "guard_of",
    "kafka",
    "keys_of",
    "server_context",
    "teller_of",
]
