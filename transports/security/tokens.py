"""Issues and verifies signed JSON web tokens (RFC 7519)."""

from datetime import datetime
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from transports.security.guard import BEARER_PREFIX, Forbidden, Unauthenticated
from transports.security.levels import list_callers

ISSUER = "fourways"
ALGORITHM = "ES256"


def issue_token(key: EllipticCurvePrivateKey, *, subject: str, audience: str, expires: datetime) -> str:
    """Returns a token for the role ``subject`` at the service ``audience``."""
    claims = {"iss": ISSUER, "sub": subject, "aud": audience, "exp": expires}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


class TokenGuard:
    """A guard that accepts tokens signed with the private half of a key."""

    def __init__(self, service: str, tokens_key: Path) -> None:
        """``tokens_key`` is the file with the public half."""
        self._service = service
        key = load_pem_public_key(tokens_key.read_bytes())
        assert isinstance(key, EllipticCurvePublicKey)
        self._key = key
        self._callers = list_callers(service)

    def check(self, authorization: str | None) -> None:
        """Checks one call; tokens are not cached. Raises Unauthenticated or Forbidden."""
        # A scheme may be written in any case (RFC 9110, section 11.1).
        if authorization is None or authorization[: len(BEARER_PREFIX)].lower() != BEARER_PREFIX.lower():
            raise Unauthenticated(f"the {self._service} service answers nobody without a bearer token")
        try:
            claims = jwt.decode(
                authorization[len(BEARER_PREFIX) :],
                self._key,
                algorithms=[ALGORITHM],
                audience=self._service,
                issuer=ISSUER,
                options={"require": ["sub", "exp"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"the {self._service} service does not take that token: {error}") from error
        if claims["sub"] not in self._callers:
            raise Forbidden(f"{claims['sub']} may not ask the {self._service} service")
