"""Opens gRPC channels and server ports at each security level.

gRPC brings its own TLS library (BoringSSL), which has no setting for the TLS 1.3 suite or key exchange: it takes
AES-128 where the processor has instructions for it, and exchanges keys by X25519MLKEM768.
"""

from collections.abc import Sequence

import grpc

from transports.base import Setting
from transports.security import MTLS, NONE, RoleKeys, find_keys


def open_channel(
    setting: Setting, role: str, target: str, options: Sequence[tuple[str, int | str]]
) -> grpc.aio.Channel:
    """Opens a channel with the role's credentials. Raises SettingError."""
    if setting.security == NONE:
        return grpc.aio.insecure_channel(target, options)
    keys = find_keys(setting.keys, role)
    mine = _read_key_pair(keys) if setting.security == MTLS else (None, None)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(keys.authority.read_bytes(), *mine), options)


def add_port(server: grpc.aio.Server, address: str, setting: Setting, role: str) -> None:
    """Adds the role's port to the server. Raises RuntimeError when it is taken, and SettingError."""
    if setting.security == NONE:
        server.add_insecure_port(address)
        return
    keys = find_keys(setting.keys, role)
    asks = setting.security == MTLS
    credentials = grpc.ssl_server_credentials(
        [_read_key_pair(keys)], keys.authority.read_bytes() if asks else None, require_client_auth=asks
    )
    server.add_secure_port(address, credentials)


def _read_key_pair(keys: RoleKeys) -> tuple[bytes, bytes]:
    return keys.key.read_bytes(), keys.certificate.read_bytes()
