"""Says which processes and ports of a trial are measured, and what the load process's environment is."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.provision.base import Broker
from bench.provision.process import build_mark_environment
from bench.provision.services import ServiceProcess
from bench.trial.context import TrialContext
from transports.base import Setting, Transport
from transports.security.keys import OPENSSL_FILE


def list_parts(
    running: Mapping[str, ServiceProcess], brokers: Sequence[Broker], databases: Sequence[Broker]
) -> dict[str, tuple[int, ...]]:
    """Lists the processes whose use is measured, by part."""
    parts = {
        "services": tuple(service.pid for service in running.values()),
        "broker": tuple(pid for broker in brokers for pid in broker.pids),
        # Its others, one for each connection, descend from the first.
        "database": tuple(pid for server in databases for pid in server.pids[:1]),
    }
    return {part: pids for part, pids in parts.items() if pids}


def find_ports(transport: Transport, setting: Setting) -> tuple[int, ...]:
    """Returns the ports that the method's bytes pass: the services' or the broker's; none where a URL names no port."""
    if transport.traits.in_process:
        return ()
    where = setting.servers.values() or setting.addresses.values()
    return tuple(int(port) for address in where for port in re.findall(r":(\d+)(?=[/,?]|$)", address))


def worker_environment(stage: TrialContext) -> dict[str, str]:
    """Returns the load process's environment: the run's mark, and the file with the TLS settings of Python's ssl."""
    openssl = {"OPENSSL_CONF": str(Path(stage.keys) / OPENSSL_FILE)} if stage.keys else {}
    return {**build_mark_environment(stage.folder), **openssl}
