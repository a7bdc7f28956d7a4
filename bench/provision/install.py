"""Installs what native brokers need: a current RabbitMQ, Kafka's jars, and Debian packages.

RabbitMQ and Kafka's jars are unpacked into the folder of state by any user. Debian packages are installed for root
only; anybody else is told what to type. It ends well either way, because REST and gRPC need nothing but Python.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import OperationFailed
from bench.provision import postgres
from bench.provision.brokers import BROKER_NAMES
from bench.provision.rabbitmq import find_installation
from bench.provision.rabbitmq_packages import unpack_rabbitmq
from bench.provision.versions import describe_age
from transports.errors import SettingError
from transports.registry import load_transport

POM_FILE = Path(__file__).with_name("kafka-pom.xml")
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY_SCRIPT = (
    "#!/bin/sh\n# put here by Fourways while it installs packages, so that they start no servers\nexit 101\n"
)

# The program by which we know a package, and the package.
PACKAGES = {
    "java": "default-jre-headless",
    "mvn": "maven",
}

RABBITMQ_RETRY_S = 86_400
"""After a failure, and where another RabbitMQ is there, only `make setup` tries again within this time."""

WITHOUT_BROKERS = "then `make setup` again. REST and gRPC run without them."


def find_missing_packages(known: Mapping[str, str] = PACKAGES) -> list[str]:
    """Return the Debian packages whose programs are not found on this machine."""
    return [
        package
        for programs, package in known.items()
        if not any(shutil.which(program) for program in programs.split(":"))
    ]


def install_packages(packages: list[str], what_for: str = "native brokers", without: str = WITHOUT_BROKERS) -> bool:
    """Install Debian packages without starting their servers, and return whether that succeeded.

    Without root or apt-get it prints what to type instead, and returns False.
    """
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        _say(f"missing for {what_for}: {names}; on Debian type `sudo apt-get install {names}`,")
        _say(f"{without}")
        return False
    _say(f"installing {names} with apt-get, since you are root")
    started_epmd = shutil.which("epmd") is None
    with forbid_server_start(POLICY_FILE):
        done = _run_apt("install", packages) or (_run_apt("update", []) and _run_apt("install", packages))
    if not done:
        _say(f"apt-get could not install {names}: type `apt-get install {names}` to see why")
        return False
    units = []
    if "rabbitmq-server" in packages:
        units += ["rabbitmq-server.service", *(["epmd.service", "epmd.socket"] if started_epmd else [])]
    if postgres.PACKAGE in packages:
        units.append("postgresql.service")
    if units and Path("/run/systemd/system").exists():
        _say(f"{units[0]} will not start with the machine: a run starts its own")
        subprocess.run(["systemctl", "disable", "--quiet", *units], check=False, stderr=subprocess.DEVNULL)
    return True


@contextmanager
def forbid_server_start(policy: Path) -> Iterator[None]:
    """Context manager: forbid packages to start servers, by a policy file that is removed on exit.

    A policy that the machine already has is left alone. Raises OSError.
    """
    if policy.exists():
        yield
        return
    try:
        policy.write_text(POLICY_SCRIPT, "utf-8")
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def fetch_kafka(home: Path) -> bool:
    """Download Kafka's jars into home/kafka/libs unless the versions of the pom are there; return whether they are."""
    libs, stamp = home / "kafka" / "libs", home / "kafka" / "stamp"
    wanted = hashlib.sha256(POM_FILE.read_bytes()).hexdigest()
    with suppress(OSError):
        if stamp.read_text("utf-8") == wanted and any(libs.glob("kafka_2.13-*.jar")):
            return True
    if not shutil.which("mvn"):
        _say("Kafka's jars need Maven and Java: install them, then `make setup` again")
        return False
    _say("Kafka's jars with Maven (45 MB, about ten seconds)")
    fresh = home / "kafka" / f"libs.{os.getpid()}"
    # Into a folder of its own first, so that a set-up that is cut off leaves no half-filled one behind.
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", POM_FILE, "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        _say(f"Maven could not fetch Kafka: {_find_first_error(done.stdout)}")
        _say("when the network is back, type `make setup` again. REST, gRPC and RabbitMQ run without it.")
        return False
    stamp.unlink(missing_ok=True)
    shutil.rmtree(libs, ignore_errors=True)
    fresh.rename(libs)
    stamp.write_text(wanted, "utf-8")
    return True


def _run_apt(verb: str, packages: list[str]) -> bool:
    options = ["-y", "-qq"] + (["--no-install-recommends"] if packages else [])
    return (
        subprocess.run(
            ["apt-get", verb, *options, *packages],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        == 0
    )


def _find_first_error(said: str) -> str:
    lines = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines() or ["it said nothing"]
    return lines[0][:300]


def install_postgres() -> None:
    """Install PostgreSQL unless it is there; says so, and ends well either way."""
    if postgres.find_programs() is None:
        install_packages([postgres.PACKAGE], "STORE=postgres", f"or give a server with {postgres.URL_VARIABLE}=")


def install_for(transports: Sequence[str], home: Path, *, given: Collection[str] = (), insist: bool = False) -> None:
    """Install what native brokers of these transports need and is missing; says so, and ends well either way.

    ``given`` are brokers that are given by URL and need nothing. ``insist`` tries again what has failed of late.
    """
    needs = {need for name in transports for need in _broker_needs(name)}
    if not needs:
        return
    packages = [] if "kafka" in given else find_missing_packages()
    if "rabbitmq" not in given and not fetch_rabbitmq(home, insist=insist):
        packages.insert(0, "rabbitmq-server")
    if packages:
        install_packages(packages)
    if "kafka" not in given:
        (home / "kafka").mkdir(parents=True, exist_ok=True)
        fetch_kafka(home)


def fetch_rabbitmq(home: Path, *, insist: bool = False) -> bool:
    """Unpack a current RabbitMQ unless it is there, and return whether there is any that can be started.

    Where it cannot be had, a sentence says why, and how old the one is that is used instead.
    """
    failed = home / "rabbitmq.failed"
    own = find_installation(home)
    if own is not None and own.provided_by == "native" and not insist and _is_younger(failed, RABBITMQ_RETRY_S):
        return True
    try:
        unpack_rabbitmq(home, _say)
    except OperationFailed as error:
        _say(f"{error} [{error.code}]")
        failed.touch()
        if own is not None:
            _say(f"RabbitMQ {own.version} of this system is used: {describe_age('rabbitmq', own.version)}")
        return own is not None
    failed.unlink(missing_ok=True)
    return True


def _is_younger(path: Path, age_s: float) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < age_s
    return False


def _broker_needs(transport: str) -> frozenset[str]:
    with suppress(SettingError):  # whoever asked for it is told by what comes after set-up
        return load_transport(transport).traits.needs & set(BROKER_NAMES)
    return frozenset()


def _say(sentence: str) -> None:
    print(f"setup: {sentence}", file=sys.stderr, flush=True)
