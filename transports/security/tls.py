"""TLS as Python's ssl has it, for every method whose client or server is built on that: all but gRPC.

Python 3.11 cannot choose a suite of TLS 1.3 from code: whoever starts a process that is to have no other than
levels.CIPHER gives it OPENSSL_CONF (keys.OPENSSL). Brokers are told by their own settings.
"""

import logging
import ssl

from transports.base import Setting
from transports.security.keys import keys_of
from transports.security.levels import MTLS, NONE

_log = logging.getLogger(__name__)


def client_context(setting: Setting, role: str) -> ssl.SSLContext | None:
    """For connections that this role opens; None where they are plain. Raises SettingError."""
    if setting.security == NONE:
        return None
    keys = keys_of(setting.keys, role)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=keys.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if setting.security == MTLS:
        context.load_cert_chain(keys.certificate, keys.key)
    return context


def server_context(setting: Setting, role: str) -> ssl.SSLContext | None:
    """For connections that this role takes; None where they are plain. Raises SettingError."""
    if setting.security == NONE:
        return None
    keys = keys_of(setting.keys, role)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(keys.certificate, keys.key)
    if setting.security == MTLS:
        context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = _Telling
    return context


class _Telling(ssl.SSLObject):
    """Says why a handshake failed: asyncio and uvloop take it for the weather."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.warning("refused a connection: %s", error)
            raise
