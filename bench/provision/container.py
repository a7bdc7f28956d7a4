"""What a broker in a container is told: at a level of security the same files as a native one, mounted to be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.provision import compose, kafka, rabbitmq
from bench.provision.base import Security
from bench.provision.kafka_tls import Ports
from bench.provision.ports import LOOPBACK, free_ports
from bench.provision.rabbitmq_tls import kinds
from transports.security import LEVELS, NONE

EVERYWHERE = "0.0.0.0"
"""Where a server listens within its container, whose ports are published at LOOPBACK alone."""
KAFKA_DATA = Path("/var/lib/kafka/data/node")
"""Below the volume of the image."""
KAFKA_JARS = "/opt/kafka/libs/*"


@dataclass(frozen=True, slots=True)
class Told:
    """How a container is to be started, and where its server will be."""

    file: Path
    """of compose"""
    variables: Mapping[str, str]
    """of that file: ports and paths, no secret"""
    urls: Mapping[str, str]
    """by level of security, first the one at which it is asked whether it is ready"""
    once_ready: tuple[str, ...] = ()
    """a command to be run in the container then"""
    secret: tuple[Path, ...] = ()
    """files that it reads as it starts and never again"""

    def forget(self) -> None:
        """Remove what is secret and has been read. Raises OSError."""
        for path in self.secret:
            path.unlink()


def plain(name: str) -> Told:
    """By compose.yaml, on a free port."""
    (port,) = free_ports(1)
    url = f"{LOOPBACK}:{port}" if name == "kafka" else f"amqp://guest:guest@{LOOPBACK}:{port}/"
    return Told(compose.FILE, {f"{name.upper()}_PORT": str(port)}, {NONE: url})


def secured(name: str, folder: Path, security: Security) -> Told:
    """By compose.secure.yaml, on free ports; what is mounted is written into ``folder``, which is made.

    Its path is the same within the container, so that what a file says is where it says. Raises OSError.
    """
    folder.mkdir(mode=0o700)
    # The file publishes a port for each level, whether it is asked for or not.
    ports = dict(zip(LEVELS, free_ports(len(LEVELS)), strict=True))
    variables = {"FOURWAYS_FOLDER": str(folder), "FOURWAYS_KEYS": security.keys}
    variables |= {f"FOURWAYS_{level.upper()}": str(port) for level, port in ports.items()}
    if name == "rabbitmq":
        return _rabbitmq(folder, security, ports, variables)
    return _kafka(folder, security, ports, variables)


def _rabbitmq(folder: Path, security: Security, ports: Mapping[str, int], variables: Mapping[str, str]) -> Told:
    by_level = kinds(security.levels)
    used = {kind: ports[kind] for kind in by_level.values()}
    rabbitmq.write(folder, security, used, EVERYWHERE)
    asked = (folder / rabbitmq.FURTHER).read_text()
    return Told(
        compose.SECURE,
        variables,
        rabbitmq.urls_of(by_level, used),
        once_ready=("rabbitmqctl", "eval", asked) if asked else (),
    )


def _kafka(folder: Path, security: Security, ports: Mapping[str, int], variables: Mapping[str, str]) -> Told:
    by_level = {level: ports[level] for level in security.levels}
    controller, far, inner = free_ports(3)  # within the container, where any would do
    kafka.write(folder, security, Ports(by_level, controller, far, inner), data=KAFKA_DATA, host=EVERYWHERE)
    users = kafka.formatting(folder, security, ("-cp", KAFKA_JARS))
    urls = {level: f"{LOOPBACK}:{port}" for level, port in by_level.items()}
    return Told(compose.SECURE, variables, urls, secret=(users,))
