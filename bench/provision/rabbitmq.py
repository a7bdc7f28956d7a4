"""Starts a native RabbitMQ node, and reads the version of a RabbitMQ server."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import psutil
from aio_pika.exceptions import AMQPException

from bench.errors import StartFailed
from bench.provision import rabbitmq_tls
from bench.provision.base import PLAIN, Broker, Security
from bench.provision.ports import LOOPBACK, accepts_connections, find_free_ports
from bench.provision.process import silence_loggers, spawn, wait_until_answering
from bench.provision.rabbitmq_packages import find_unpacked
from transports.base import Setting
from transports.security import AUTH, HARNESS, MTLS, NONE, build_amqp_options

# Debian's script in /usr/sbin insists on root or the rabbitmq user; the one beside it in the package does not.
SERVER_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
NOT_INSTALLED = (
    "RabbitMQ is not installed: type `make setup`, or `sudo apt-get install rabbitmq-server` for the system's own, "
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
ERLANG_OPTIONS = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"

# `rabbitmqctl` for this node: `.fourways/run-ID/rabbitmq/ctl list_queues`
CTL_SCRIPT = """\
#!/bin/sh
cd "$(dirname "$0")" || exit
exec env {env} RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {{127,0,0,1}}' \\
  {script} -n {node} "$@"
"""


MTLS_LISTENER_FILE = "listen-further"
"""What a node is told once it runs, in its folder."""
CTL_TIMEOUT_S = 60.0
_ELECT_LEADERS = (
    # An entry is {Name, State}, and since RabbitMQ 3.13 {Name, State, Membership}.
    "[ra:trigger_election({element(1, Queue), node()}) "
    "|| Queue <- ets:tab2list(ra_state), element(2, Queue) =/= leader]."
)


async def elect_missing_leaders(folder: Path) -> bool:
    """Start an election in every quorum queue without a leader; return whether all had one already.

    Seen with 3.10.8: after a kill -9 a queue may wait for an election that does not come, and its consumers with it. An
    operator would trigger the election by hand. ``folder`` is the node's.
    """
    return await _evaluate_erlang(folder, _ELECT_LEADERS) == "[]"


@dataclass(frozen=True, slots=True)
class Installation:
    """A RabbitMQ that can be started on this machine by any user."""

    provided_by: str
    """unpacked by set-up, or native, which is the distribution's own"""
    server: str
    """the start script"""
    epmd: str
    """Erlang's name server"""
    version: str
    """of RabbitMQ; empty when its path does not say"""
    erlang: str = ""
    """the folder of Erlang's programs, where they are not in the path"""


def find_installation(home: Path) -> Installation | None:
    """Return the RabbitMQ that would be started: the one that set-up unpacked, else the distribution's; None if none.

    ``home`` is the folder of state.
    """
    if (ours := find_unpacked(home)) is not None:
        programs = ours.programs
        return Installation("unpacked", str(ours.server), str(programs / "epmd"), ours.version, str(programs))
    server = next((found for name in SERVER_SCRIPTS if (found := shutil.which(name))), None)
    epmd = _find_epmd()
    if server is None or epmd is None:
        return None
    version = re.search(r"rabbitmq_server-([\d.]+)", str(Path(server).resolve()))
    return Installation("native", server, epmd, version[1] if version else "")


def unavailable_reason(home: Path) -> str | None:
    """Return why RabbitMQ cannot be started on this machine and what to type, in one sentence; None when it can."""
    return None if find_installation(home) else NOT_INSTALLED


async def start(folder: Path, security: Security = PLAIN, *, home: Path) -> Broker:
    """Start a RabbitMQ node with its data in ``folder``, on free ports of 127.0.0.1, at the levels of ``security``.

    ``home`` is the folder of state, where set-up unpacks. Returns the broker once it answers. Raises StartFailed; the
    caller then stops the processes that the folder marks. epmd's extra listener on ::1 cannot be turned off; it is
    loopback as well.
    """
    installed = find_installation(home)
    if installed is None:
        raise StartFailed(NOT_INSTALLED, code="rabbitmq-missing")
    by_level = rabbitmq_tls.choose_listener_kinds(security.levels)
    wanted = list(dict.fromkeys(by_level.values()))
    epmd_port, distribution_port, *free = find_free_ports(2 + len(wanted))
    ports = dict(zip(wanted, free, strict=True))
    node = f"fourways-{folder.parent.name}@localhost"
    write_config(folder, security, ports)
    (folder / "rabbitmq-env.conf").touch()
    client = {"HOME": str(folder), "ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": LOOPBACK}
    if installed.erlang:
        client["PATH"] = f"{installed.erlang}:{os.environ.get('PATH', os.defpath)}"
        # Relative to the node's folder, and so without the spaces that its own scripts do not bear in a path.
        client["RABBITMQ_SCRIPTS_DIR"] = os.path.relpath(Path(installed.server).parent, folder.resolve())
        client["LC_ALL"] = "C.UTF-8"  # or Erlang would read other letters in paths as bytes
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
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_OPTIONS,
    }
    _write_ctl(folder / "ctl", installed.server, node, client)
    # Erlang would start an epmd of its own accord, as a daemon that outlives it.
    log = folder / "server.log"
    names = spawn([installed.epmd, "-port", str(epmd_port), "-address", LOOPBACK], folder=folder, log=log, env=env)
    process = spawn([installed.server, "-noinput"], folder=folder, log=log, env=env)
    urls = build_urls(by_level, ports)
    first, *others = urls
    version = await wait_until_answering(
        process, lambda: probe_version(urls[first], security=first, keys=security.keys), deadline_s=60
    )
    await start_mtls_listener(folder)
    helpers = [child.pid for child in psutil.Process(process.pid).children()]
    pids = (process.pid, names.pid, *helpers)
    return Broker(
        "rabbitmq",
        urls[first],
        installed.provided_by,
        version,
        pids,
        near=f"{LOOPBACK}:{ports[by_level[first]]}",
        security=first,
        keys=security.keys,
        further={level: urls[level] for level in others},
        runtime=await probe_runtime(urls[first], security=first, keys=security.keys),
    )


def write_config(folder: Path, security: Security, ports: Mapping[str, int], host: str = LOOPBACK) -> None:
    """Write the node's files into ``folder``: its configuration, its users, and the Erlang to run once it is up.

    ``ports`` are by kind of listener (``choose_listener_kinds``), all of them at ``host``. Raises OSError.
    """
    config = rabbitmq_tls.format_listeners(ports, security.keys, host) + CONFIG
    if AUTH in security.levels:
        users = folder / "definitions.json"
        users.touch(mode=0o600)
        users.write_text(rabbitmq_tls.format_definitions(security), "utf-8")
        config += f"load_definitions = {users}\n"
    (folder / "rabbitmq.conf").write_text(config, "utf-8")
    (folder / MTLS_LISTENER_FILE).write_text(rabbitmq_tls.format_mtls_listener(ports, host), "utf-8")
    (folder / "enabled_plugins").write_text("[].\n", "utf-8")


def build_urls(by_level: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Return a URL for each security level, given its kind of listener and a port for each kind.

    A listener that exists as soon as the node is up comes first, before the one that is added later. At auth the URL
    holds no user, since every client has its own.
    """
    late = MTLS if rabbitmq_tls.format_mtls_listener(ports) else ""
    return {
        level: _build_url(level, ports[by_level[level]]) for level in sorted(by_level, key=lambda level: level == late)
    }


def _build_url(level: str, port: int) -> str:
    scheme, who = "amqp" if level == NONE else "amqps", "" if level == AUTH else "guest:guest@"
    return f"{scheme}://{who}{LOOPBACK}:{port}/"


async def start_mtls_listener(folder: Path) -> None:
    """Add the listener for clients with certificates to a node that has just started, if it needs one.

    Raises StartFailed.
    """
    if not (asked := (folder / MTLS_LISTENER_FILE).read_text("utf-8")):
        return
    said = await _evaluate_erlang(folder, asked)
    if said != "ok":
        raise StartFailed(f"RabbitMQ does not listen for clients with certificates: {said}", code="no-tls-listener")


async def _evaluate_erlang(folder: Path, asked: str) -> str:
    """Return the answer of the node in ``folder`` to some Erlang; without an answer, a sentence that says so."""
    command = [str(folder / "ctl"), "eval", asked]
    try:
        said = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=CTL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"rabbitmqctl had no answer within {CTL_TIMEOUT_S:.0f} s"
    return (said.stdout or said.stderr).strip()


async def probe_version(url: str, *, security: str = NONE, keys: str = "", timeout_s: float = 5) -> str | None:
    """Return the server's version, "" if it does not say; None when the AMQP handshake fails at this security level."""
    said = await _read_server_properties(url, security=security, keys=keys, timeout_s=timeout_s)
    return None if said is None else str(said.get("version", ""))


async def probe_runtime(url: str, *, security: str = NONE, keys: str = "") -> str:
    """Return what the server runs on, such as "Erlang/OTP 29.1.1"; "" when it does not say or does not answer."""
    said = await _read_server_properties(url, security=security, keys=keys, timeout_s=5)
    return str((said or {}).get("platform", ""))


class _OneConnection(aio_pika.Connection):
    """A connection that is closed by who opened it, and was never open when that failed."""

    def __del__(self) -> None:
        pass  # where aio_pika would close it by a coroutine that nobody awaits when another thread collects it


async def _read_server_properties(url: str, *, security: str, keys: str, timeout_s: float) -> Mapping[str, Any] | None:
    """What the server says of itself in the AMQP handshake; None when that fails."""
    try:
        parts = urlsplit(url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    except ValueError:
        return None
    if (parts.scheme == "amqps") != (security != NONE):
        return None
    # Asked by ourselves first: aiormq drops a coroutine, with a warning, for every connection that is refused.
    if not await accepts_connections(parts.hostname or "localhost", port, timeout_s=timeout_s):
        return None
    try:
        with silence_loggers("aiormq.connection"):
            setting = Setting(trial="asked", servers={"rabbitmq": url}, security=security, keys=keys)
            options = build_amqp_options(setting, HARNESS)
            connection = await aio_pika.connect(**options, timeout=timeout_s, connection_class=_OneConnection)
    except (OSError, AMQPException, TimeoutError, asyncio.IncompleteReadError, ValueError, StopAsyncIteration):
        # The last is aiormq's, for a connection closed at once: an engine's proxy accepts before the server does.
        return None
    async with connection:
        transport = connection.transport
        return transport.connection.server_properties if transport else {}


def _find_epmd() -> str | None:
    """Erlang's name server, which some packages keep out of the path."""
    bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    return shutil.which("epmd") or (str(bundled[-1]) if bundled else None)


def _write_ctl(path: Path, server: str, node: str, env: dict[str, str]) -> None:
    beside = str(Path(server).with_name("rabbitmqctl"))
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    path.write_text(CTL_SCRIPT.format(env=words, script=shlex.quote(beside), node=node), "utf-8")
    path.chmod(0o755)
