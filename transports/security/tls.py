"""Builds the TLS contexts of clients and servers, for every transport but gRPC.

Python 3.11 cannot choose a cipher suite of TLS 1.3 from code. So a process that must use levels.CIPHER_SUITE alone is
started with OPENSSL_CONF (keys.OPENSSL_FILE). Brokers have settings of their own for that.
"""

import logging
import ssl

from transports.base import Setting
from transports.security.keys import find_keys
from transports.security.levels import MTLS, NONE

_log = logging.getLogger(__name__)


def build_client_context(setting: Setting, role: str) -> ssl.SSLContext | None:
    """Returns the TLS context for connections that this role opens, or None at level none. Raises SettingError."""
    if setting.security == NONE:
        return None
    keys = find_keys(setting.keys, role)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=keys.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if setting.security == MTLS:
        context.load_cert_chain(keys.certificate, keys.key)
    return context


def build_server_context(setting: Setting, role: str) -> ssl.SSLContext | None:
    """Returns the TLS context for connections that this role accepts, or None at level none. Raises SettingError."""
    if setting.security == NONE:
        return None
    keys = find_keys(setting.keys, role)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(keys.certificate, keys.key)
    if setting.security == MTLS:
        context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = _LoggingSSLObject
    return context


class _LoggingSSLObject(ssl.SSLObject):
    """Logs why a handshake failed, which asyncio and uvloop do not."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.warning("refused a connection: %s", error)
            raise
