"""What Kafka is told about security: a listener for each level, users, and who may do everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.provision.base import FAR, Security
from bench.provision.ports import LOOPBACK, free_ports
from transports.security import AUTH, CIPHER, HARNESS, MTLS, NONE, ROLES, TLS, Keys

LISTENERS: Mapping[str, tuple[str, str]] = {
    NONE: ("PLAINTEXT", "PLAINTEXT"),
    TLS: ("TLS", "SSL"),
    MTLS: ("MTLS", "SSL"),
    AUTH: ("AUTH", "SASL_SSL"),
}
"""By level what its listener is called, and its protocol."""

LOGGING = """\
log4j.logger.org.apache.kafka.common.network.Selector=INFO
log4j.logger.org.apache.kafka.common.network.SslTransportLayer=DEBUG
log4j.logger.kafka.authorizer.logger=INFO
"""
"""Who was refused, and why: Kafka says it at a level that is otherwise left out."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Of a node."""

    by_level: Mapping[str, int]
    controller: int
    far: int
    """For those who come by way of FAR."""
    inner: int
    """For what Kafka says to itself."""

    @classmethod
    def free(cls, levels: Sequence[str]) -> "Ports":
        """Raises OSError when there are none."""
        controller, far, inner, *others = free_ports(3 + len(levels))
        return cls(dict(zip(levels, others, strict=True)), controller, far, inner)


def listeners(ports: Ports, host: str = LOOPBACK) -> dict[str, str]:
    """Settings of where a node listens, for clients at this host, and of where it says that it is.

    A client goes where Kafka says that it is, so that those who come by way of FAR have a listener of their own, at the
    first level. Where any level asks for TLS, so does what Kafka says to itself.
    """
    names = {level: LISTENERS[level][0] for level in ports.by_level}
    first, secured = next(iter(ports.by_level)), set(ports.by_level) != {NONE}
    protocols = {name: LISTENERS[level][1] for level, name in names.items()}
    protocols |= {"FAR": LISTENERS[first][1], "CONTROLLER": "SSL" if secured else "PLAINTEXT"}
    inner = "INNER" if secured else names[first]
    itself = {"INNER": f"{LOOPBACK}:{ports.inner}"} if secured else {}
    protocols |= dict.fromkeys(itself, "SSL")
    here, there = (
        {name: f"{at}:{ports.by_level[level]}" for level, name in names.items()} | itself for at in (host, LOOPBACK)
    )
    here |= {"FAR": f"{LOOPBACK}:{ports.far}", "CONTROLLER": f"{LOOPBACK}:{ports.controller}"}
    return {
        "listeners": ",".join(f"{name}://{address}" for name, address in here.items()),
        "advertised.listeners": ",".join(
            f"{name}://{address}" for name, address in {**there, "FAR": f"{FAR}:{ports.far}"}.items()
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": inner,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
    }


def tls(folder: Path, security: Security) -> dict[str, str]:
    """Settings of its certificate, of who has to show one, and of who may do what; none where nothing is secured.

    At auth alone nobody may do what no rule allows. Where there are other levels beside it, what has no rules at all is
    open to everyone: their trials make none. Writes Kafka's key beside its certificate into ``folder``.
    """
    if security.levels == (NONE,):
        return {}
    own = Keys(Path(security.keys), "kafka")
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
        "ssl.cipher.suites": CIPHER,
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


def users(security: Security) -> list[str]:
    """Arguments of the tool that formats Kafka's storage: passwords, so not for a command line."""
    if AUTH not in security.levels:
        return []
    named = {role: Keys(Path(security.keys), role).password for role in ROLES}
    return [
        word
        for role, password in named.items()
        for word in ("--add-scram", f"SCRAM-SHA-512=[name={role},password={password}]")
    ]
