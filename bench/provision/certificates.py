"""`python -m bench.provision.certificates FOLDER`: a throw-away authority, and what it gives to everyone.

A run at a level of security makes one for itself, below its own folder, and it goes with the run. For brokers that
are given by URL it is made by hand, and KEYS= says where it is. transports/security/keys.py says what lies where; what
the authority itself signs with is on no disk.
"""

import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bench.errors import UsageError
from transports.security import CIPHER, ROLES, Keys, asked_by
from transports.security.keys import AUTHORITY, OPENSSL, TOKENS
from transports.security.tokens import issued

BROKERS = ("rabbitmq", "kafka")
HOSTS = ("localhost", "127.0.0.1", "127.0.0.2", *BROKERS)
"""Where our servers listen: here, behind the network of a fault, and by their names among containers."""
BEFORE, AFTER = timedelta(days=1), timedelta(days=2)
"""From when until when certificates are good: a clock that is a day off is no reason to fail."""
RUN = timedelta(hours=6)
"""No run takes longer, so that what is good for as long does not expire in the middle of one."""

# Of Python's ssl. The key exchange is the one that all have but gRPC, which has it within another.
_OPENSSL = f"""\
openssl_conf = fourways
[fourways]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = {CIPHER}
Groups = X25519
"""


class Authority:
    """Signs certificates and tokens, for as long as this object lives."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="Fourways, for one run", key_type=trustme.KeyType.ECDSA)
        self._signer = ec.generate_private_key(ec.SECP256R1())

    def fill(self, folder: Path) -> None:
        """Make this folder, with everything that all roles and brokers have. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True)
        self._ca.cert_pem.write_to_path(folder / AUTHORITY)
        public = self._signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / TOKENS).write_bytes(public)
        (folder / OPENSSL).write_text(_OPENSSL)
        for role in (*ROLES, *BROKERS):
            self.enrol(folder, role)

    def enrol(
        self, folder: Path, role: str, *, hosts: tuple[str, ...] = HOSTS, expires: datetime | None = None
    ) -> None:
        """A role's certificate for these hosts, its key, its password and its tokens. Raises OSError."""
        until = datetime.now(UTC) + AFTER if expires is None else expires
        leaf = self._ca.issue_cert(
            *hosts,
            common_name=role,
            not_before=min(datetime.now(UTC), until) - BEFORE,
            not_after=until,
            key_type=trustme.KeyType.ECDSA,
        )
        own = folder / role
        own.mkdir(mode=0o700, exist_ok=True)
        (own / "certificate.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        # PKCS #8, since Java reads no other.
        _private(own / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _private(own / "password", secrets.token_urlsafe(24).encode())
        for service in asked_by(role):
            _private(own / f"{service}.jwt", self.token(role, service, expires=until).encode())

    def token(self, subject: str, audience: str, *, expires: datetime) -> str:
        return issued(self._signer, subject=subject, audience=audience, expires=expires)


def make(folder: Path) -> Path:
    """A folder of keys from an authority of its own. Raises OSError."""
    Authority().fill(folder)
    return folder


def check(folder: Path, now: datetime | None = None) -> None:
    """Whether keys that were given are good for a run that begins now.

    Raises UsageError, and SettingError for what is missing, or secret and readable by others.
    """
    at = datetime.now(UTC) if now is None else now
    for role in ROLES:
        keys = Keys(folder, role)
        certificate = x509.load_pem_x509_certificate(keys.certificate.read_bytes())
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= at <= ends - RUN:
            raise UsageError(
                f"the keys in {folder} are good from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, it is "
                f"{at:%Y-%m-%d %H:%M}, and a run may take {RUN.seconds // 3600} hours: make new ones with "
                "`python -m bench.provision.certificates`, or leave KEYS out",
                code="keys-expired",
            )
        secret = (keys.key, keys.password, *map(keys.token, asked_by(role)))
        assert all(secret)


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def command(arguments: list[str]) -> int:
    """The exit code: 0 made, 1 cannot be made, 2 not understood."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("say where: python -m bench.provision.certificates FOLDER", file=sys.stderr)
        return 2
    try:
        print(f"KEYS={make(Path(arguments[0]).absolute())}")
    except OSError as error:
        print(f"{error.filename} cannot be made: {error.strerror}; choose another folder", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
