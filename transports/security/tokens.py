"""A token is a signed JWT (RFC 7519): who comes, to which service, and until when."""

from datetime import datetime
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from transports.security.bearer import SCHEME, Forbidden, Unauthenticated
from transports.security.levels import callers_of

ISSUER = "fourways"
ALGORITHM = "ES256"


def issued(key: EllipticCurvePrivateKey, *, subject: str, audience: str, expires: datetime) -> str:
    """A token for one role at one service."""
    claims = {"iss": ISSUER, "sub": subject, "aud": audience, "exp": expires}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


class TokenGuard:
    """A Guard that believes whoever holds the private half of a key."""

    def __init__(self, service: str, tokens_key: Path) -> None:
        """``tokens_key`` is a file with the public half."""
        self._service = service
        key = load_pem_public_key(tokens_key.read_bytes())
        assert isinstance(key, EllipticCurvePublicKey)
        self._key = key
        self._callers = callers_of(service)

    def check(self, authorization: str | None) -> None:
        """Of every call: nothing is remembered of a token. Raises Unauthenticated or Forbidden."""
        # A scheme may be written in any case (RFC 9110, section 11.1).
        if authorization is None or authorization[: len(SCHEME)].lower() != SCHEME.lower():
            raise Unauthenticated(f"the {self._service} service answers nobody without a bearer token")
        try:
            claims = jwt.decode(
                authorization[len(SCHEME) :],
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
