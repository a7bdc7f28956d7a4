"""Builds the configuration of a broker that runs in a container, with or without TLS.

At a security level a container gets the same files as a native broker, mounted read-only.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.provision import compose, kafka, postgres, rabbitmq
from bench.provision.base import Security
from bench.provision.kafka_tls import KafkaPorts
from bench.provision.ports import LOOPBACK, find_free_ports
from bench.provision.rabbitmq_tls import choose_listener_kinds
from transports.security import LEVELS, NONE

ALL_INTERFACES = "0.0.0.0"
"""Where a server listens within its container, whose ports are published at LOOPBACK alone."""
KAFKA_DATA = Path("/var/lib/kafka/data/node")
"""Below the volume of the image."""
KAFKA_JARS = "/opt/kafka/libs/*"


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """The configuration of a container: how to start it, and where its server will listen."""

    file: Path
    """of compose"""
    variables: Mapping[str, str]
    """of that file: ports and paths, and the password of a database"""
    urls: Mapping[str, str]
    """by level of security, first the one at which it is asked whether it is ready"""
    once_ready: tuple[str, ...] = ()
    """a command to be run in the container then"""
    secret: tuple[Path, ...] = ()
    """files that it reads as it starts and never again"""

    def delete_secrets(self) -> None:
        """Delete the secret files that the server has read. Raises OSError."""
        for path in self.secret:
            path.unlink()


def build_plain_config(name: str) -> ContainerConfig:
    """Return the configuration of a broker without TLS, by compose.yaml on a free port. Raises OSError without one."""
    (port,) = find_free_ports(1)
    variables = {f"{name.upper()}_PORT": str(port), **_limits()}
    if name == postgres.NAME:
        # Named at the end too: Compose 2 ends no service whose profile nobody names, and keeps its volume.
        variables["COMPOSE_PROFILES"] = postgres.NAME
        variables["POSTGRES_PASSWORD"] = password = secrets.token_urlsafe(24)
        url = f"postgresql://{postgres.SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
    else:
        url = f"{LOOPBACK}:{port}" if name == "kafka" else f"amqp://guest:guest@{LOOPBACK}:{port}/"
    return ContainerConfig(compose.COMPOSE_FILE, variables, {NONE: url})


def build_secured_config(name: str, folder: Path, security: Security) -> ContainerConfig:
    """Return the configuration of a broker with TLS, by compose.secure.yaml on free ports.

    Writes the files to mount into ``folder``, which is created. Its path is the same within the container, so that
    paths in these files hold there too. Raises OSError.
    """
    folder.mkdir(mode=0o700)
    # The file publishes a port for each level, whether it is asked for or not.
    ports = dict(zip(LEVELS, find_free_ports(len(LEVELS)), strict=True))
    variables = {"FOURWAYS_FOLDER": str(folder), "FOURWAYS_KEYS": security.keys, **_limits()}
    variables |= {f"FOURWAYS_{level.upper()}": str(port) for level, port in ports.items()}
    if name == "rabbitmq":
        return _build_rabbitmq_config(folder, security, ports, variables)
    return _build_kafka_config(folder, security, ports, variables)


def _limits() -> dict[str, str]:
    """All cores of the machine: an engine refuses more of them, and fewer would be measured."""
    return {"FOURWAYS_CPUS": str(os.cpu_count() or 1)}


def _build_rabbitmq_config(
    folder: Path, security: Security, ports: Mapping[str, int], variables: Mapping[str, str]
) -> ContainerConfig:
    by_level = choose_listener_kinds(security.levels)
    used = {kind: ports[kind] for kind in by_level.values()}
    rabbitmq.write_config(folder, security, used, ALL_INTERFACES)
    asked = (folder / rabbitmq.MTLS_LISTENER_FILE).read_text("utf-8")
    return ContainerConfig(
        compose.SECURE_COMPOSE_FILE,
        variables,
        rabbitmq.build_urls(by_level, used),
        once_ready=("rabbitmqctl", "eval", asked) if asked else (),
    )


def _build_kafka_config(
    folder: Path, security: Security, ports: Mapping[str, int], variables: Mapping[str, str]
) -> ContainerConfig:
    by_level = {level: ports[level] for level in security.levels}
    controller, far, inner = find_free_ports(3)  # within the container, where any would do
    kafka.write_config(
        folder, security, KafkaPorts(by_level, controller, far, inner), data=KAFKA_DATA, host=ALL_INTERFACES
    )
    users = kafka.write_format_arguments(folder, security, ("-cp", KAFKA_JARS))
    urls = {level: f"{LOOPBACK}:{port}" for level, port in by_level.items()}
    return ContainerConfig(compose.SECURE_COMPOSE_FILE, variables, urls, secret=(users,))
