"""Native RabbitMQ, and whether a RabbitMQ given by URL answers."""

import asyncio
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import psutil
from aio_pika.exceptions import AMQPException

from bench.errors import StartFailed
from bench.provision import rabbitmq_tls
from bench.provision.base import PLAIN, Broker, Security
from bench.provision.ports import LOOPBACK, accepts, free_ports
from bench.provision.process import quiet, ready, spawn
from transports.base import Setting
from transports.security import AUTH, HARNESS, MTLS, NONE, amqp

# Debian's script in /usr/sbin insists on root or the rabbitmq user; the one beside it in the package does not.
SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
MISSING = (
    "RabbitMQ is not installed: type `sudo apt-get install rabbitmq-server`, "
    "or give one with RABBITMQ_URL=amqp://user:password@host:5672/"
)

CONFIG = """\
tcp_listen_options.nodelay = true
tcp_listen_options.backlog = 4096
collect_statistics_interval = 30000
max_message_size = 16777216
disk_free_limit.absolute = 64MB
vm_memory_high_watermark.relative = 0.6
log.console = false
log.file.level = info
"""

# Distribution on loopback only, and schedulers that sleep instead of spinning: on few cores a waiting broker
# would take the services' time.
ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"

# `rabbitmqctl` for this node: `.fourways/run-ID/rabbitmq/ctl list_queues`
CTL = """\
#!/bin/sh
exec env {env} RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {{127,0,0,1}}' \\
  {script} -n {node} "$@"
"""


FURTHER = "listen-further"
"""What a node is told once it runs, in its folder."""
CTL_S = 20.0
_ELECT = "[ra:trigger_election({Name, node()}) || {Name, State} <- ets:tab2list(ra_state), State =/= leader]."


async def elected(folder: Path) -> bool:
    """Whether every quorum queue of the node whose folder this is has a leader; those that have none are told to elect.

    Seen with 3.10.8: after a kill -9 one of them waits for an election that does not come, and whoever consumes from it
    waits as well. An operator would call the election, and so does this.
    """
    return await _evaluated(folder, _ELECT) == "[]"


def script() -> str | None:
    """The server's start script that any user may run, if it is installed."""
    return next((found for name in SCRIPTS if (found := shutil.which(name))), None)


def missing() -> str | None:
    """One sentence when RabbitMQ cannot be started on this machine."""
    return None if script() and _epmd() else MISSING


async def start(folder: Path, security: Security = PLAIN) -> Broker:
    """Start a node of its own with its data in this folder, on free ports of 127.0.0.1, reachable as ``security`` says.

    Raises StartFailed; what was started until then is left to the caller, who ends all that the folder marks.
    epmd's extra listener on ::1 cannot be turned off; it is loopback as well.
    """
    server, epmd = script(), _epmd()
    if server is None or epmd is None:
        raise StartFailed(MISSING, code="rabbitmq-missing")
    by_level = rabbitmq_tls.kinds(security.levels)
    wanted = list(dict.fromkeys(by_level.values()))
    epmd_port, distribution_port, *free = free_ports(2 + len(wanted))
    ports = dict(zip(wanted, free, strict=True))
    node = f"fourways-{folder.parent.name}@localhost"
    write(folder, security, ports)
    (folder / "rabbitmq-env.conf").touch()
    client = {"HOME": str(folder), "ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": LOOPBACK}
    env = {
        **client,
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "RABBITMQ_ALLOW_INPUT": "1",  # with -noinput: the script becomes the server instead of its parent
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),  # empty, in place of the machine's own
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
    }
    _write_ctl(folder / "ctl", server, node, client)
    # Erlang would start an epmd of its own accord, as a daemon that outlives it.
    log = folder / "server.log"
    names = spawn([epmd, "-port", str(epmd_port), "-address", LOOPBACK], folder=folder, log=log, env=env)
    process = spawn([server, "-noinput"], folder=folder, log=log, env=env)
    urls = urls_of(by_level, ports)
    first, *others = urls
    version = await ready(process, lambda: version_of(urls[first], security=first, keys=security.keys), deadline_s=60)
    await listen_further(folder)
    helpers = [child.pid for child in psutil.Process(process.pid).children()]
    pids = (process.pid, names.pid, *helpers)
    return Broker(
        "rabbitmq",
        urls[first],
        "native",
        version,
        pids,
        near=f"{LOOPBACK}:{ports[by_level[first]]}",
        security=first,
        keys=security.keys,
        further={level: urls[level] for level in others},
    )


def write(folder: Path, security: Security, ports: Mapping[str, int], host: str = LOOPBACK) -> None:
    """What a node is told, as files in this folder: its settings, its users, and what it is told once it runs.

    ``ports`` are by kind of listener (rabbitmq_tls.kinds), all of them at ``host``.
    """
    config = rabbitmq_tls.listeners(ports, security.keys, host) + CONFIG
    if AUTH in security.levels:
        users = folder / "definitions.json"
        users.touch(mode=0o600)
        users.write_text(rabbitmq_tls.definitions(security))
        config += f"load_definitions = {users}\n"
    (folder / "rabbitmq.conf").write_text(config)
    (folder / FURTHER).write_text(rabbitmq_tls.further(ports, host))
    (folder / "enabled_plugins").write_text("[].\n")


def urls_of(by_level: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """By level, for the kind of listener that each takes and a port by kind; at auth everyone comes as who they are.

    First comes one that is there when the node is ready, and not only when it has been told to listen further.
    """
    late = MTLS if rabbitmq_tls.further(ports) else ""
    return {level: _url(level, ports[by_level[level]]) for level in sorted(by_level, key=lambda level: level == late)}


def _url(level: str, port: int) -> str:
    scheme, who = "amqp" if level == NONE else "amqps", "" if level == AUTH else "guest:guest@"
    return f"{scheme}://{who}{LOOPBACK}:{port}/"


async def listen_further(folder: Path) -> None:
    """Have a node that has just started listen where its settings could not say. Raises StartFailed."""
    if not (asked := (folder / FURTHER).read_text()):
        return
    said = await _evaluated(folder, asked)
    if said != "ok":
        raise StartFailed(f"RabbitMQ does not listen for clients with certificates: {said}", code="no-tls-listener")


async def _evaluated(folder: Path, asked: str) -> str:
    """What the node whose folder this is says to some Erlang; empty when it does not within CTL_S."""
    command = [str(folder / "ctl"), "eval", asked]
    try:
        said = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=CTL_S
        )
    except subprocess.TimeoutExpired:
        return ""
    return (said.stdout or said.stderr).strip()


async def version_of(url: str, *, security: str = NONE, keys: str = "", timeout_s: float = 5) -> str | None:
    """The server's version, "" if it keeps it to itself; None when no AMQP handshake succeeds there as ``security``
    asks."""
    try:
        parts = urlsplit(url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    except ValueError:
        return None
    if (parts.scheme == "amqps") != (security != NONE):
        return None
    # Asked by ourselves first: aiormq drops a coroutine, with a warning, for every connection that is refused.
    if not await accepts(parts.hostname or "localhost", port, timeout_s=timeout_s):
        return None
    try:
        with quiet("aiormq.connection"):
            setting = Setting(trial="asked", servers={"rabbitmq": url}, security=security, keys=keys)
            connection = await aio_pika.connect(**amqp(setting, HARNESS), timeout=timeout_s)
    except (OSError, AMQPException, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return None
    async with connection:
        transport = connection.transport
        said = transport.connection.server_properties if transport else {}
    return str(said.get("version", ""))


def _epmd() -> str | None:
    """Erlang's name server, which some packages keep out of the path."""
    bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    return shutil.which("epmd") or (str(bundled[-1]) if bundled else None)


def _write_ctl(path: Path, server: str, node: str, env: dict[str, str]) -> None:
    beside = str(Path(server).with_name("rabbitmqctl"))
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    path.write_text(CTL.format(env=words, script=shlex.quote(beside), node=node))
    path.chmod(0o755)
