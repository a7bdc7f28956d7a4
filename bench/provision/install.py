"""Installs what native brokers need: Debian packages and Kafka's jars.

Run as `python -m bench.provision.install [TRANSPORTS]`; with transports named, installs only what these need. Debian
packages are installed for root only; anybody else is told what to type. Exits with 0 either way, because REST and gRPC
need nothing but Python.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.paths import STATE
from bench.provision.brokers import URL_VARIABLES
from transports.errors import SettingError
from transports.registry import load_transport

HOME = STATE
POM_FILE = Path(__file__).with_name("kafka-pom.xml")
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY_SCRIPT = (
    "#!/bin/sh\n# put here by Fourways while it installs packages, so that they start no servers\nexit 101\n"
)

# The program by which we know a package, and the package.
PACKAGES = {
    "/usr/lib/rabbitmq/bin/rabbitmq-server:rabbitmq-server": "rabbitmq-server",
    "java": "default-jre-headless",
    "mvn": "maven",
}

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
        print(f"setup: missing for {what_for}: {names}; on Debian type `sudo apt-get install {names}`,")
        print(f"setup: {without}")
        return False
    print(f"setup: installing {names} with apt-get, since you are root", flush=True)
    started_epmd = shutil.which("epmd") is None
    with forbid_server_start(POLICY_FILE):
        done = _run_apt("install", packages) or (_run_apt("update", []) and _run_apt("install", packages))
    if not done:
        print(f"setup: apt-get could not install {names}: type `apt-get install {names}` to see why")
        return False
    if "rabbitmq-server" in packages and Path("/run/systemd/system").exists():
        units = ["rabbitmq-server.service", *(["epmd.service", "epmd.socket"] if started_epmd else [])]
        print(f"setup: {units[0]} will not start with the machine, as it listens on every interface")
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
        policy.write_text(POLICY_SCRIPT)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def fetch_kafka(home: Path) -> bool:
    """Download Kafka's jars into home/kafka/libs unless the versions of the pom are there; return whether they are."""
    libs, stamp = home / "kafka" / "libs", home / "kafka" / "stamp"
    wanted = hashlib.sha256(POM_FILE.read_bytes()).hexdigest()
    with suppress(OSError):
        if stamp.read_text() == wanted and any(libs.glob("kafka_2.13-*.jar")):
            return True
    if not shutil.which("mvn"):
        print("setup: Kafka's jars need Maven and Java: install them, then `make setup` again")
        return False
    print("setup: Kafka's jars with Maven (45 MB, about ten seconds)", flush=True)
    fresh = home / "kafka" / f"libs.{os.getpid()}"
    # Into a folder of its own first, so that a set-up that is cut off leaves no half-filled one behind.
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", POM_FILE, "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        print(f"setup: Maven could not fetch Kafka: {_find_first_error(done.stdout)}")
        print("setup: when the network is back, type `make setup` again. REST, gRPC and RabbitMQ run without it.")
        return False
    stamp.unlink(missing_ok=True)
    shutil.rmtree(libs, ignore_errors=True)
    fresh.rename(libs)
    stamp.write_text(wanted)
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


def needs_any_broker(transports: str) -> bool:
    """Return whether any of these transports, named with commas, needs a broker that we start; True without names."""
    names = [name.strip() for name in transports.split(",") if name.strip()]
    return not names or any(map(_needs_broker, names))


def _needs_broker(name: str) -> bool:
    with suppress(SettingError):  # whoever asked for it is told by what comes after set-up
        return not load_transport(name).traits.needs.isdisjoint(URL_VARIABLES)
    return False


def main(transports: str = "") -> None:
    """Install what is missing. Always ends with exit code 0, unless it is interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not needs_any_broker(transports):
        return
    if packages := find_missing_packages():
        install_packages(packages)
    (HOME / "kafka").mkdir(parents=True, exist_ok=True)
    fetch_kafka(HOME)


if __name__ == "__main__":
    main(*sys.argv[1:])
