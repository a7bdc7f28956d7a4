"""Makes a certificate authority for one run, and certificates, passwords and tokens from it.

A run at a security level makes an authority of its own below its folder, which is removed with the run. For brokers
given by URL, make one with `fourways certificates FOLDER=…` and pass the folder as KEYS=.
transports/security/keys.py describes the files; the authority's own signing keys are never written to disk.
"""

import secrets
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
from transports.security import CIPHER_SUITE, ROLES, RoleKeys, list_callable_services
from transports.security.keys import AUTHORITY_FILE, OPENSSL_FILE, TOKENS_FILE
from transports.security.tokens import issue_token

BROKER_ROLES = ("rabbitmq", "kafka")
HOSTS = ("localhost", "127.0.0.1", "127.0.0.2", *BROKER_ROLES)
"""Where our servers listen: here, behind the network of a fault, and by their names among containers."""
VALID_BEFORE, VALID_AFTER = timedelta(days=1), timedelta(days=2)
"""From when until when certificates are good: a clock that is a day off is no reason to fail."""
LONGEST_RUN = timedelta(hours=6)
"""No run takes longer, so that what is good for as long does not expire in the middle of one."""

# Of Python's ssl. The key exchange is the one that all have but gRPC, which has it within another.
_OPENSSL_CONFIG = f"""\
openssl_conf = fourways
[fourways]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = {CIPHER_SUITE}
Groups = X25519
"""


class CertificateAuthority:
    """A certificate authority in memory: signs certificates and tokens for as long as the object lives."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="Fourways, for one run", key_type=trustme.KeyType.ECDSA)
        self._signer = ec.generate_private_key(ec.SECP256R1())

    def write_all_keys(self, folder: Path) -> None:
        """Create ``folder`` and write the credentials of all roles and brokers into it. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True)
        self._ca.cert_pem.write_to_path(folder / AUTHORITY_FILE)
        public = self._signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / TOKENS_FILE).write_bytes(public)
        (folder / OPENSSL_FILE).write_text(_OPENSSL_CONFIG, "utf-8")
        for role in (*ROLES, *BROKER_ROLES):
            self.issue_credentials(folder, role)

    def issue_credentials(
        self, folder: Path, role: str, *, hosts: tuple[str, ...] = HOSTS, expires: datetime | None = None
    ) -> None:
        """Write a role's certificate for these hosts, its private key, its password and its tokens. Raises OSError."""
        until = datetime.now(UTC) + VALID_AFTER if expires is None else expires
        leaf = self._ca.issue_cert(
            *hosts,
            common_name=role,
            not_before=min(datetime.now(UTC), until) - VALID_BEFORE,
            not_after=until,
            key_type=trustme.KeyType.ECDSA,
        )
        own = folder / role
        own.mkdir(mode=0o700, exist_ok=True)
        (own / "certificate.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        # PKCS #8, since Java reads no other.
        _write_private_file(own / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _write_private_file(own / "password", secrets.token_urlsafe(24).encode())
        for service in list_callable_services(role):
            _write_private_file(own / f"{service}.jwt", self.token(role, service, expires=until).encode())

    def token(self, subject: str, audience: str, *, expires: datetime) -> str:
        return issue_token(self._signer, subject=subject, audience=audience, expires=expires)


def make_keys(folder: Path) -> Path:
    """Write the keys of a new authority into ``folder``, which is created, and return it. Raises OSError."""
    CertificateAuthority().write_all_keys(folder)
    return folder


def validate_keys(folder: Path, now: datetime | None = None) -> None:
    """Check that the keys in ``folder`` are valid for the whole of a run that starts now.

    Raises UsageError when a certificate is not yet valid or expires too soon, and SettingError for a file that is
    missing, or is secret and readable by others.
    """
    at = datetime.now(UTC) if now is None else now
    for role in ROLES:
        keys = RoleKeys(folder, role)
        certificate = x509.load_pem_x509_certificate(keys.certificate.read_bytes())
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= at <= ends - LONGEST_RUN:
            raise UsageError(
                f"the keys in {folder} are good from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, it is "
                f"{at:%Y-%m-%d %H:%M}, and a run may take {LONGEST_RUN.seconds // 3600} hours: make new ones with "
                "`fourways certificates FOLDER=…`, or leave KEYS out",
                code="keys-expired",
            )
        secret = (keys.key, keys.password, *map(keys.token, list_callable_services(role)))
        assert all(secret)


def _write_private_file(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
