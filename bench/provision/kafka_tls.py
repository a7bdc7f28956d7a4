"""Builds Kafka's security settings: a listener for each level, users, and access rights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.provision.base import PROXY_HOST, Security
from bench.provision.ports import LOOPBACK, find_free_ports
from transports.security import AUTH, CIPHER_SUITE, HARNESS, MTLS, NONE, ROLES, TLS, RoleKeys

LISTENERS: Mapping[str, tuple[str, str]] = {
    NONE: ("PLAINTEXT", "PLAINTEXT"),
    TLS: ("TLS", "SSL"),
    MTLS: ("MTLS", "SSL"),
    AUTH: ("AUTH", "SASL_SSL"),
}
"""By level what its listener is called, and its protocol."""

LOG4J_TLS_CONFIG = """\
log4j.logger.org.apache.kafka.common.network.Selector=INFO
log4j.logger.org.apache.kafka.common.network.SslTransportLayer=DEBUG
log4j.logger.kafka.authorizer.logger=INFO
"""
"""Who was refused, and why: Kafka says it at a level that is otherwise left out."""


@dataclass(frozen=True, slots=True)
class KafkaPorts:
    """The ports of a Kafka node."""

    by_level: Mapping[str, int]
    controller: int
    proxied: int
    """For those who come by way of FAR."""
    inter_broker: int
    """For what Kafka says to itself."""

    @classmethod
    def choose_free(cls, levels: Sequence[str]) -> "KafkaPorts":
        """Return free ports for a node with a listener for each of these levels. Raises OSError when there are none."""
        controller, far, inner, *others = find_free_ports(3 + len(levels))
        return cls(dict(zip(levels, others, strict=True)), controller, far, inner)


def build_listener_settings(ports: KafkaPorts, host: str = LOOPBACK) -> dict[str, str]:
    """Return the listener settings of a node that takes clients at ``host``, by Kafka's setting name.

    A client connects to the address that Kafka advertises, so clients that come through the fault proxy have a listener
    of their own, at the first level. Where any level uses TLS, so does the traffic between brokers and controller.
    """
    names = {level: LISTENERS[level][0] for level in ports.by_level}
    first, secured = next(iter(ports.by_level)), set(ports.by_level) != {NONE}
    protocols = {name: LISTENERS[level][1] for level, name in names.items()}
    protocols |= {"FAR": LISTENERS[first][1], "CONTROLLER": "SSL" if secured else "PLAINTEXT"}
    inner = "INNER" if secured else names[first]
    itself = {"INNER": f"{LOOPBACK}:{ports.inter_broker}"} if secured else {}
    protocols |= dict.fromkeys(itself, "SSL")
    here, there = (
        {name: f"{at}:{ports.by_level[level]}" for level, name in names.items()} | itself for at in (host, LOOPBACK)
    )
    here |= {"FAR": f"{LOOPBACK}:{ports.proxied}", "CONTROLLER": f"{LOOPBACK}:{ports.controller}"}
    return {
        "listeners": ",".join(f"{name}://{address}" for name, address in here.items()),
        "advertised.listeners": ",".join(
            f"{name}://{address}" for name, address in {**there, "FAR": f"{PROXY_HOST}:{ports.proxied}"}.items()
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": inner,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
    }


def build_tls_settings(folder: Path, security: Security) -> dict[str, str]:
    """Return the settings of TLS, client authentication and access control; empty where nothing is secured.

    At auth alone, access is denied unless a rule allows it. With other levels beside it, a resource without rules is
    open to everyone, since trials at these levels make none. Writes Kafka's key and certificate into ``folder``. Raises
    OSError.
    """
    if security.levels == (NONE,):
        return {}
    own = RoleKeys(Path(security.keys), "kafka")
    store = folder / "keystore.pem"
    store.touch(mode=0o600)
    store.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
    far = LISTENERS[security.levels[0]][0]
    asking = ["controller", "inner", "mtls", *(["far"] if far == "MTLS" else [])]
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(own.authority),
        "ssl.protocol": "TLSv1.3",
        "ssl.enabled.protocols": "TLSv1.3",
        "ssl.cipher.suites": CIPHER_SUITE,
        "ssl.client.auth": "none",
        **{f"listener.name.{name}.ssl.client.auth": "required" for name in asking},
    }
    if AUTH in security.levels:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        for name in ("auth", *(["far"] if far == "AUTH" else [])):
            settings[f"listener.name.{name}.sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
            settings[f"listener.name.{name}.scram-sha-512.sasl.jaas.config"] = module
        settings |= {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:kafka;User:{HARNESS}",
            "allow.everyone.if.no.acl.found": str(security.levels != (AUTH,)).lower(),
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        }
    return settings


def build_user_arguments(security: Security) -> list[str]:
    """Return arguments of Kafka's storage tool that create the SCRAM users; empty without auth.

    They hold passwords, so keep them off the command line.
    """
    if AUTH not in security.levels:
        return []
    named = {role: RoleKeys(Path(security.keys), role).password for role in ROLES}
    return [
        word
        for role, password in named.items()
        for word in ("--add-scram", f"SCRAM-SHA-512=[name={role},password={password}]")
    ]
