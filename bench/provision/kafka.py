"""Starts a native Kafka node (KRaft), and checks whether a Kafka server answers."""

import asyncio
import base64
import json
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.errors import StartFailed
from bench.provision import kafka_tls
from bench.provision.base import PLAIN, Broker, Security
from bench.provision.kafka_tls import KafkaPorts
from bench.provision.ports import LOOPBACK, accepts_connections
from bench.provision.process import silence_loggers, spawn, wait_until_answering
from transports.base import Setting
from transports.security import HARNESS, NONE, build_kafka_options

NO_JAVA = (
    "Kafka needs Java: type `sudo apt-get install default-jre-headless maven` and `make setup`, "
    "or give one with KAFKA_BOOTSTRAP=host:9092"
)
NO_JARS = "Kafka's jars are missing: type `make setup`, or give one with KAFKA_BOOTSTRAP=host:9092"

MAX_BATCH_BYTES = 8 * 1024 * 1024 + 64 * 1024
"""a message of 8 MiB and what its batch adds"""

SERVER_SETTINGS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill -9 the one controller refuses the one broker until its old session is over: 9 s by default.
    "broker.session.timeout.ms": "6000",
    "group.min.session.timeout.ms": "1000",
    # A trial's topics and groups go when it removes them, not a minute or ten later.
    "log.segment.delete.delay.ms": "1000",
    "offsets.retention.check.interval.ms": "1000",
    "message.max.bytes": str(MAX_BATCH_BYTES),
    "replica.fetch.max.bytes": str(MAX_BATCH_BYTES),
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

LOG4J_CONFIG = """\
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={folder}/server.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""

TOOL_JVM_OPTIONS = ("-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
"""for a tool that runs for a second"""
SERVER_JVM_OPTIONS = ("-server", "-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
"""the server's own script's collector; the serial one started no faster (3.5 s)"""

JVM_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""Java reads the names of files by the locale: without UTF-8 it finds none with letters beyond ASCII."""


def jar_folder(home: Path) -> Path:
    """Return the folder in which set-up installs Kafka's jars."""
    return home / "kafka" / "libs"


def unavailable_reason(home: Path) -> str | None:
    """Return why Kafka cannot be started on this machine and what to type, in one sentence; None when it can."""
    if shutil.which("java") is None:
        return NO_JAVA
    return None if read_installed_version(home) else NO_JARS


def read_installed_version(home: Path) -> str:
    """Return the version of the installed jars, "" when there are none."""
    return next((jar.stem.split("-")[-1] for jar in jar_folder(home).glob("kafka_2.13-*.jar")), "")


async def start(folder: Path, security: Security = PLAIN, *, home: Path) -> Broker:
    """Start a Kafka node with its data in ``folder``, on free ports of 127.0.0.1, at the levels of ``security``.

    Returns the broker once it answers. Raises StartFailed; the caller then stops the processes that the folder marks.
    """
    if (why := unavailable_reason(home)) is not None:
        raise StartFailed(why, code="kafka-missing")
    ports, log, temporary = KafkaPorts.choose_free(security.levels), folder / "server.log", folder / "tmp"
    temporary.mkdir()
    log_config = LOG4J_CONFIG.format(folder=folder) + ("" if security == PLAIN else kafka_tls.LOG4J_TLS_CONFIG)
    (folder / "log4j.properties").write_text(escape_properties(log_config), "ascii")
    properties = write_config(folder, security, ports, data=folder / "data")
    common = (
        f"-Dlog4j.configuration=file:{folder}/log4j.properties",
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-XX:-UsePerfData",  # it would leave a file in /tmp after a kill -9
        "-cp",
        f"{jar_folder(home)}/*",
    )
    arguments = write_format_arguments(folder, security, common)
    tool = spawn(["java", f"@{arguments}"], folder=folder, log=log, env=JVM_ENVIRONMENT)
    if await asyncio.to_thread(tool.wait) != 0:
        raise StartFailed("its storage could not be formatted", code="kafka-not-formatted")
    arguments.unlink()
    server = ["java", *SERVER_JVM_OPTIONS, *common, "kafka.Kafka", str(properties)]
    process = spawn(server, folder=folder, log=log, env=JVM_ENVIRONMENT)
    first, *others = security.levels
    url = f"{LOOPBACK}:{ports.by_level[first]}"

    async def version() -> str | None:
        return read_installed_version(home) if await is_reachable(url, security=first, keys=security.keys) else None

    said = await wait_until_answering(process, version, deadline_s=60)
    return Broker(
        "kafka",
        url,
        "native",
        said,
        (process.pid,),
        near=f"{LOOPBACK}:{ports.proxied}",
        security=first,
        keys=security.keys,
        further={level: f"{LOOPBACK}:{ports.by_level[level]}" for level in others},
    )


async def is_reachable(bootstrap: str, *, security: str = NONE, keys: str = "", timeout_s: float = 5) -> bool:
    """Return whether an admin client at this security level can describe a cluster with a broker and a controller."""
    pairs = (address.strip().rpartition(":") for address in bootstrap.split(","))
    if not any([await accepts_connections(host.strip("[]"), port, timeout_s=timeout_s) for host, _, port in pairs]):
        return False  # the client itself would go on trying
    setting = Setting(trial="asked", servers={"kafka": bootstrap}, security=security, keys=keys)
    admin = AIOKafkaAdminClient(**build_kafka_options(setting, HARNESS), request_timeout_ms=int(timeout_s * 1000))
    try:
        with silence_loggers("aiokafka", "aiokafka.client", "aiokafka.conn", "aiokafka.cluster"):
            async with asyncio.timeout(timeout_s):
                await admin.start()
                cluster = await admin.describe_cluster()
        return bool(cluster["brokers"]) and cluster["controller_id"] >= 0
    except (KafkaError, OSError, TimeoutError, ValueError):
        return False
    finally:
        await admin.close()


def write_config(folder: Path, security: Security, ports: KafkaPorts, *, data: Path, host: str = LOOPBACK) -> Path:
    """Write the node's server.properties into ``folder``, with the files that they name, and return its path.

    The node listens for clients at ``host`` and keeps its records in ``data``. Raises OSError.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.controller}",
        **kafka_tls.build_listener_settings(ports, host),
        **kafka_tls.build_tls_settings(folder, security),
        "log.dirs": str(data),
        **SERVER_SETTINGS,
    }
    properties = folder / "server.properties"
    lines = "".join(f"{key}={value}\n" for key, value in settings.items())
    properties.write_text(escape_properties(lines), "ascii")
    return properties


def escape_properties(lines: str) -> str:
    """Return the lines of a .properties file, which Java reads as Latin-1, with every other letter escaped."""
    return re.sub(r"[^\x00-\x7f]", lambda letter: json.dumps(letter[0])[1:-1], lines)


def write_format_arguments(folder: Path, security: Security, options: Sequence[str]) -> Path:
    """Write a file of Java arguments, after ``options``, that formats the node's storage and creates its users.

    Returns the file's path. Passwords are kept in a file since arguments show in the list of processes; the caller
    removes it once it has been read. Raises OSError.
    """
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    tool = ("kafka.tools.StorageTool", "format", "-t", f"F{identity[1:]}", "-c", str(folder / "server.properties"))
    arguments = folder / "format.args"
    arguments.touch(mode=0o600)
    arguments.write_text(
        "\n".join(
            f'"{word}"' for word in (*TOOL_JVM_OPTIONS, *options, *tool, *kafka_tls.build_user_arguments(security))
        ),
        "utf-8",
    )
    return arguments
