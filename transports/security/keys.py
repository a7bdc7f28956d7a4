"""Where a role's certificate, key, password and tokens lie, in the folder that bench.provision.certificates makes.

    authority.pem        the certificate that everyone believes
    tokens.pem           the public half of the key that signs tokens
    openssl.cnf          what OPENSSL_CONF names: the one suite of TLS 1.3 that is offered and taken
    ROLE/certificate.pem ROLE/key.pem ROLE/password ROLE/AUDIENCE.jwt

Settings and command lines carry the folder and never what is in it.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

from transports.errors import SettingError

AUTHORITY, TOKENS, OPENSSL = "authority.pem", "tokens.pem", "openssl.cnf"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Keys:
    """What a role has. Everything raises SettingError for a file that is missing, or secret and readable by others."""

    folder: Path
    role: str

    @property
    def authority(self) -> Path:
        return _there(self.folder / AUTHORITY)

    @property
    def certificate(self) -> Path:
        return _there(self.folder / self.role / "certificate.pem")

    @property
    def key(self) -> Path:
        return _secret(self.folder / self.role / "key.pem")

    @property
    def password(self) -> str:
        return _secret(self.folder / self.role / "password").read_text("ascii")

    def token(self, audience: str) -> str:
        """That the role shows to this service."""
        return _secret(self.folder / self.role / f"{audience}.jwt").read_text("ascii")

    @property
    def tokens_key(self) -> Path:
        """By which the tokens of others are verified."""
        return _there(self.folder / TOKENS)


def keys_of(folder: str, role: str) -> Keys:
    """Raises SettingError when there is no such folder."""
    if not folder or not Path(folder).is_dir():
        raise SettingError(
            f"there is no folder of keys {folder!r}: give KEYS= one, or leave it out to have one made", code="no-keys"
        )
    return Keys(Path(folder), role)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise SettingError(
            f"there is no {path}: give KEYS= a folder that `python -m bench.provision.certificates` made",
            code="no-keys",
        )
    return path


def _secret(path: Path) -> Path:
    mode = stat.S_IMODE(_there(path).stat().st_mode)
    if mode & _OTHERS:
        raise SettingError(
            f"{path} can be read by others (mode {mode:o}): make new keys, or type `chmod 600 {path}`", code="open-keys"
        )
    return path
