"""Finds the certificate, key, password and tokens of a role in the key folder.

The folder is made by bench/provision/certificates.py:

    authority.pem        the certificate of the authority that all roles trust
    tokens.pem           the public key that verifies tokens
    openssl.cnf          the file for OPENSSL_CONF: allows one cipher suite of TLS 1.3
    ROLE/certificate.pem ROLE/key.pem ROLE/password ROLE/AUDIENCE.jwt

Settings and command lines carry the path of the folder and none of its contents.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

from transports.errors import SettingError

AUTHORITY_FILE, TOKENS_FILE, OPENSSL_FILE = "authority.pem", "tokens.pem", "openssl.cnf"
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """The files of one role.

    Every property raises SettingError for a file that is missing, or secret and readable by others.
    """

    folder: Path
    role: str

    @property
    def authority(self) -> Path:
        return _require_file(self.folder / AUTHORITY_FILE)

    @property
    def certificate(self) -> Path:
        return _require_file(self.folder / self.role / "certificate.pem")

    @property
    def key(self) -> Path:
        return _require_secret_file(self.folder / self.role / "key.pem")

    @property
    def password(self) -> str:
        return _require_secret_file(self.folder / self.role / "password").read_text("ascii")

    def token(self, audience: str) -> str:
        """Returns the token that the role presents to the service ``audience``."""
        return _require_secret_file(self.folder / self.role / f"{audience}.jwt").read_text("ascii")

    @property
    def tokens_key(self) -> Path:
        """The file with the public key that verifies tokens."""
        return _require_file(self.folder / TOKENS_FILE)


def find_keys(folder: str, role: str) -> RoleKeys:
    """Returns the files of ``role`` in ``folder``. Raises SettingError when there is no such folder."""
    if not folder or not Path(folder).is_dir():
        raise SettingError(
            f"there is no folder of keys {folder!r}: give KEYS= one, or leave it out to have one made", code="no-keys"
        )
    return RoleKeys(Path(folder), role)


def _require_file(path: Path) -> Path:
    if not path.is_file():
        raise SettingError(
            f"there is no {path}: give KEYS= a folder that `fourways certificates` made",
            code="no-keys",
        )
    return path


def _require_secret_file(path: Path) -> Path:
    mode = stat.S_IMODE(_require_file(path).stat().st_mode)
    if mode & _GROUP_AND_OTHERS:
        raise SettingError(
            f"{path} can be read by others (mode {mode:o}): make new keys, or type `chmod 600 {path}`", code="open-keys"
        )
    return path
