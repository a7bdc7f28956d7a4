"""Native Kafka: one node, KRaft; and whether a Kafka given by address answers."""

import asyncio
import base64
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.errors import StartFailed
from bench.provision import kafka_tls
from bench.provision.base import PLAIN, Broker, Security
from bench.provision.kafka_tls import Ports
from bench.provision.ports import LOOPBACK, accepts
from bench.provision.process import quiet, ready, spawn
from transports.base import Setting
from transports.security import HARNESS, NONE
from transports.security import kafka as client_options

NO_JAVA = (
    "Kafka needs Java: type `sudo apt-get install default-jre-headless maven` and `make setup`, "
    "or give one with KAFKA_BOOTSTRAP=host:9092"
)
NO_JARS = "Kafka's jars are missing: type `make setup`, or give one with KAFKA_BOOTSTRAP=host:9092"

LARGEST = 8 * 1024 * 1024 + 64 * 1024
"""a message of 8 MiB and what its batch adds"""

SETTINGS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill -9 the one controller refuses the one broker until its old session is over: 9 s by default.
    "broker.session.timeout.ms": "6000",
    "group.min.session.timeout.ms": "1000",
    # A trial's topics and groups go when it removes them, not a minute or ten later.
    "log.segment.delete.delay.ms": "1000",
    "offsets.retention.check.interval.ms": "1000",
    "message.max.bytes": str(LARGEST),
    "replica.fetch.max.bytes": str(LARGEST),
    "num.io.threads": "4",
    "num.network.threads": "2",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}

LOGGING = """\
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={folder}/server.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""

BRIEF = ("-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
"""for a tool that runs for a second"""
LASTING = ("-server", "-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
"""the server's own script's collector; the serial one started no faster (3.5 s)"""


def jars(home: Path) -> Path:
    """Where set-up puts the server."""
    return home / "kafka" / "libs"


def missing(home: Path) -> str | None:
    """One sentence when Kafka cannot be started on this machine."""
    if shutil.which("java") is None:
        return NO_JAVA
    return None if version_in(home) else NO_JARS


def version_in(home: Path) -> str:
    """The version of the jars that set-up installed, "" when there are none."""
    return next((jar.stem.split("-")[-1] for jar in jars(home).glob("kafka_2.13-*.jar")), "")


async def start(folder: Path, security: Security = PLAIN, *, home: Path) -> Broker:
    """Start a node of its own with its data in this folder, on free ports of 127.0.0.1, reachable as ``security`` says.

    Raises StartFailed; what was started until then is left to the caller, who ends all that the folder marks.
    """
    if (why := missing(home)) is not None:
        raise StartFailed(why, code="kafka-missing")
    ports, log, temporary = Ports.free(security.levels), folder / "server.log", folder / "tmp"
    temporary.mkdir()
    (folder / "log4j.properties").write_text(
        LOGGING.format(folder=folder) + ("" if security == PLAIN else kafka_tls.LOGGING)
    )
    properties = write(folder, security, ports, data=folder / "data")
    common = (
        f"-Dlog4j.configuration=file:{folder}/log4j.properties",
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-XX:-UsePerfData",  # it would leave a file in /tmp after a kill -9
        "-cp",
        f"{jars(home)}/*",
    )
    arguments = formatting(folder, security, common)
    tool = spawn(["java", f"@{arguments}"], folder=folder, log=log)
    if await asyncio.to_thread(tool.wait) != 0:
        raise StartFailed("its storage could not be formatted", code="kafka-not-formatted")
    arguments.unlink()
    process = spawn(["java", *LASTING, *common, "kafka.Kafka", str(properties)], folder=folder, log=log)
    first, *others = security.levels
    url = f"{LOOPBACK}:{ports.by_level[first]}"

    async def version() -> str | None:
        return version_in(home) if await answers(url, security=first, keys=security.keys) else None

    said = await ready(process, version, deadline_s=60)
    return Broker(
        "kafka",
        url,
        "native",
        said,
        (process.pid,),
        near=f"{LOOPBACK}:{ports.far}",
        security=first,
        keys=security.keys,
        further={level: f"{LOOPBACK}:{ports.by_level[level]}" for level in others},
    )


async def answers(bootstrap: str, *, security: str = NONE, keys: str = "", timeout_s: float = 5) -> bool:
    """Whether an admin client that comes as ``security`` asks can describe a cluster there that has a broker and a
    controller."""
    pairs = (address.strip().rpartition(":") for address in bootstrap.split(","))
    if not any([await accepts(host.strip("[]"), port, timeout_s=timeout_s) for host, _, port in pairs]):
        return False  # the client itself would go on trying
    setting = Setting(trial="asked", servers={"kafka": bootstrap}, security=security, keys=keys)
    admin = AIOKafkaAdminClient(**client_options(setting, HARNESS), request_timeout_ms=int(timeout_s * 1000))
    try:
        with quiet("aiokafka", "aiokafka.client", "aiokafka.conn", "aiokafka.cluster"):
            async with asyncio.timeout(timeout_s):
                await admin.start()
                cluster = await admin.describe_cluster()
        return bool(cluster["brokers"]) and cluster["controller_id"] >= 0
    except (KafkaError, OSError, TimeoutError, ValueError):
        return False
    finally:
        await admin.close()


def write(folder: Path, security: Security, ports: Ports, *, data: Path, host: str = LOOPBACK) -> Path:
    """A node's settings, as a file in this folder, whatever they name beside it: clients are taken at ``host``, and its
    records go to ``data``."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.controller}",
        **kafka_tls.listeners(ports, host),
        **kafka_tls.tls(folder, security),
        "log.dirs": str(data),
        **SETTINGS,
    }
    properties = folder / "server.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return properties


def formatting(folder: Path, security: Security, options: Sequence[str]) -> Path:
    """Java's arguments, after these options, to format the storage of the node whose settings are in this folder, and
    to make its users: a file, since passwords would be in the list of processes. To be removed when it has been read.
    """
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    tool = ("kafka.tools.StorageTool", "format", "-t", f"F{identity[1:]}", "-c", str(folder / "server.properties"))
    arguments = folder / "format.args"
    arguments.touch(mode=0o600)
    arguments.write_text("\n".join(f'"{word}"' for word in (*BRIEF, *options, *tool, *kafka_tls.users(security))))
    return arguments
