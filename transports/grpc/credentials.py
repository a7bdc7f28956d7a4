"""gRPC's channels and ports at each level of security.

gRPC brings a TLS of its own (BoringSSL), which has no settings for suites of TLS 1.3 or for the key exchange: it takes
AES-128 where the processor has instructions for it, and exchanges keys by X25519MLKEM768.
"""

from collections.abc import Sequence

import grpc

from transports.base import Setting
from transports.security import MTLS, NONE, Keys, keys_of


def channel(setting: Setting, role: str, target: str, options: Sequence[tuple[str, int | str]]) -> grpc.aio.Channel:
    """As this role opens it. Raises SettingError."""
    if setting.security == NONE:
        return grpc.aio.insecure_channel(target, options)
    keys = keys_of(setting.keys, role)
    mine = _own(keys) if setting.security == MTLS else (None, None)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(keys.authority.read_bytes(), *mine), options)


def listen(server: grpc.aio.Server, address: str, setting: Setting, role: str) -> None:
    """Add the role's port to its server. Raises RuntimeError when it is taken, SettingError."""
    if setting.security == NONE:
        server.add_insecure_port(address)
        return
    keys = keys_of(setting.keys, role)
    asks = setting.security == MTLS
    credentials = grpc.ssl_server_credentials(
        [_own(keys)], keys.authority.read_bytes() if asks else None, require_client_auth=asks
    )
    server.add_secure_port(address, credentials)


def _own(keys: Keys) -> tuple[bytes, bytes]:
    return keys.key.read_bytes(), keys.certificate.read_bytes()
