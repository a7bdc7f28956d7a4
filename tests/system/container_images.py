"""Makes the images that the compose files name, from servers on this machine, for an engine that can fetch none.

An image has the server's real programs, this machine's shell and tools with their libraries, and the official image's
user, folders, variables and volumes. Its entry point is a stand-in for the official one.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.provision import compose, kafka
from bench.provision.rabbitmq_packages import Unpacked
from tests.short_lived_java import find_real_java

TOOLS = ("sh", "bash", "basename", "cat", "date", "dirname", "env", "expr", "grep", "id", "readlink", "sed", "uname")
LOCALES = tuple(Path("/usr/lib/locale").glob("C.*"))
SERVER_ID = 999
PATHS = "/usr/local/bin:/usr/bin:/bin"
COMMON_FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n{user}:x:999:999::{home}:/bin/sh\n",
    "etc/group": "root:x:0:\n{user}:x:999:\n",
}

RABBITMQ_HOME = "/var/lib/rabbitmq"
RABBITMQ_DEFAULTS = "loopback_users.guest = false\nlog.console = true\n"
"""The settings that the official image has beside the user's."""

KAFKA_RUN = """\
#!/bin/bash
set -e
exec 2>&1
export CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
java -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \\
  --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config
exec /opt/kafka/bin/kafka-server-start.sh /opt/kafka/config/server.properties
"""
"""The class is Kafka's own, by which the official image turns the environment into settings and formats storage."""
KAFKA_START = """\
#!/bin/bash
exec java ${KAFKA_HEAP_OPTS:--Xmx1G} -Dlog4j.configuration=file:/opt/kafka/config/reload4j.properties \\
  -cp '/opt/kafka/libs/*' kafka.Kafka "$@"
"""
KAFKA_VERSIONS = """\
#!/bin/bash
exec java -Xmx256m -cp '/opt/kafka/libs/*' org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
"""
KAFKA_LOG = """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
"""

POSTGRES_DATA = "/var/lib/postgresql/data"
POSTGRES_RUN = """\
#!/bin/bash
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile <(echo "$POSTGRES_PASSWORD") --auth-host scram-sha-256 --no-sync
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
"""


@dataclass(frozen=True)
class Image:
    """What an image holds, by path without the leading slash, and how a container of it begins."""

    trees: Sequence[Path]
    """folders of this machine, which lie at the same place there"""
    programs: Sequence[Path]
    """in them, which need this machine's libraries"""
    texts: Mapping[str, str]
    scripts: Mapping[str, str]
    links: Mapping[str, str]
    owned: Sequence[str]
    """folders of the server's user"""
    changes: Sequence[str]
    """lines of a Dockerfile"""
    user: str
    home: str


def read_image_name(service: str) -> str:
    """Return the image that compose.yaml names for a service."""
    found = re.search(rf"image: (\S*{service}:\S+)", compose.COMPOSE_FILE.read_text("utf-8"))
    assert found is not None, service
    return found[1]


def describe_rabbitmq(unpacked: Unpacked) -> Image:
    """Return an image of the RabbitMQ that set-up unpacked; it lies where its programs look for their libraries."""
    return Image(
        trees=[Path(unpacked.root)],
        programs=[],
        texts={"etc/rabbitmq/conf.d/10-defaults.conf": RABBITMQ_DEFAULTS},
        scripts={"usr/local/bin/docker-entrypoint.sh": '#!/bin/bash\nexec "$@"\n'},
        links={
            "opt/rabbitmq": str(unpacked.server.parents[1]),
            "opt/erlang/bin": str(unpacked.programs),
            "usr/lib/erlang": str(unpacked.programs.parent),
        },
        owned=[RABBITMQ_HOME, "/etc/rabbitmq", "/var/log/rabbitmq"],
        changes=[
            f"ENV PATH=/opt/rabbitmq/sbin:/opt/erlang/bin:{PATHS}",
            f"ENV HOME={RABBITMQ_HOME} RABBITMQ_DATA_DIR={RABBITMQ_HOME} LANG=C.UTF-8 LC_ALL=C.UTF-8",
            f"VOLUME {RABBITMQ_HOME}",
            "EXPOSE 4369 5671 5672 15691 15692 25672",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["rabbitmq-server"]',
        ],
        user="rabbitmq",
        home=RABBITMQ_HOME,
    )


def describe_kafka(home: Path) -> Image:
    """Return an image of the jars that set-up installed, with this machine's Java."""
    program = find_real_java()
    assert program is not None
    java, jars = Path(program).resolve().parents[1], kafka.jar_folder(home).resolve()
    # Debian has Java's settings outside its folder, behind links.
    outside = {place for link in java.rglob("*") if link.is_symlink() and (place := link.resolve()).exists()}
    return Image(
        trees=[java, jars, *sorted(place for place in outside if not place.is_relative_to(java))],
        programs=[java / "bin/java", *java.glob("lib/**/*.so")],
        texts={
            "etc/kafka/docker/server.properties": "",
            "etc/kafka/docker/log4j2.yaml": "",
            "etc/kafka/docker/tools-log4j2.yaml": "",
            "opt/kafka/config/reload4j.properties": KAFKA_LOG,
        },
        scripts={
            "etc/kafka/docker/run": KAFKA_RUN,
            "opt/kafka/bin/kafka-server-start.sh": KAFKA_START,
            "opt/kafka/bin/kafka-broker-api-versions.sh": KAFKA_VERSIONS,
        },
        links={"opt/java": str(java), "opt/kafka/libs": str(jars)},
        owned=["/var/lib/kafka/data", "/opt/kafka/config", "/mnt/shared/config", "/home/appuser"],
        changes=[
            f"ENV PATH=/opt/java/bin:{PATHS} LANG=C.UTF-8 LC_ALL=C.UTF-8",
            'VOLUME ["/var/lib/kafka/data", "/mnt/shared/config"]',
            "EXPOSE 9092",
            "USER appuser",
            'CMD ["/etc/kafka/docker/run"]',
        ],
        user="appuser",
        home="/home/appuser",
    )


def describe_postgres(programs: Path) -> Image:
    """Return an image of the PostgreSQL whose programs lie in this folder."""
    version = programs.parent.name
    return Image(
        trees=[programs.parent, Path("/usr/share/postgresql", version)],
        programs=[programs / name for name in ("postgres", "initdb", "pg_isready")],
        texts={},
        scripts={"usr/local/bin/docker-entrypoint.sh": POSTGRES_RUN},
        links={},
        owned=[POSTGRES_DATA, "/var/run/postgresql"],
        changes=[
            f"ENV PATH={programs}:{PATHS} PGDATA={POSTGRES_DATA} LANG=C.UTF-8",
            f"VOLUME {POSTGRES_DATA}",
            "EXPOSE 5432",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["postgres"]',
        ],
        user="postgres",
        home="/var/lib/postgresql",
    )


def import_image(image: Image, name: str, env: Mapping[str, str]) -> None:
    """Give the engine that ``env`` names this image under this name."""
    changes = [word for line in image.changes for word in ("--change", line)]
    with subprocess.Popen(
        ["docker", "import", *changes, "-", name],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        with process.stdin, tarfile.open(mode="w|", fileobj=process.stdin) as tar:
            _fill(tar, image)
    assert process.returncode == 0, name


def _fill(tar: tarfile.TarFile, image: Image) -> None:
    # As this machine has them, so that programs find their libraries.
    for top in ("bin", "sbin", "lib", "lib64"):
        if (place := Path("/", top)).is_symlink():
            _add_link(tar, top, str(place.readlink()))
    _add_folder(tar, "tmp", mode=0o1777)
    for owned in image.owned:
        _add_folder(tar, owned.lstrip("/"), mode=0o1777, owner=SERVER_ID)
    found = [Path(program) for name in TOOLS if (program := shutil.which(name))]
    files = {_place(path): path.resolve() for path in (*found, *_list_libraries([*found, *image.programs]))}
    for tree in (*LOCALES, *image.trees):
        for path in (tree, *tree.rglob("*")):
            files.setdefault(_place(path), path)
    for name, file in sorted(files.items()):
        tar.add(file, name, recursive=False, filter=_own_by_root)
    for name, target in image.links.items():
        _add_link(tar, name, target)
    for name, text in COMMON_FILES.items():
        _add_text(tar, name, text.format(user=image.user, home=image.home), 0o644)
    for texts, mode in ((image.texts, 0o644), (image.scripts, 0o755)):
        for name, text in texts.items():
            _add_text(tar, name, text, mode)


def _list_libraries(programs: Iterable[Path]) -> list[Path]:
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", said)]


def _place(path: Path) -> str:
    """Where it lies without links of this machine's folders, as an archive names it."""
    return str(path.parent.resolve() / path.name).lstrip("/")


def _own_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _add_folder(tar: tarfile.TarFile, name: str, *, mode: int, owner: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    entry, content = tarfile.TarInfo(name), text.encode()
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
