"""`python -m bench.provision.install`: install what native brokers need; with TRANSPORT, only if one of these needs them.

Only a Debian machine's root gets packages installed; anyone else is told what to type. It ends well either way,
because REST and gRPC need nothing but Python.
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
from bench.provision.brokers import VARIABLES
from transports.errors import SettingError
from transports.registry import named

HOME = STATE
POM = Path(__file__).with_name("kafka-pom.xml")
POLICY = Path("/usr/sbin/policy-rc.d")
FORBID = "#!/bin/sh\n# put here by Fourways while it installs packages, so that they start no servers\nexit 101\n"

# The program by which we know a package, and the package.
PACKAGES = {
    "/usr/lib/rabbitmq/bin/rabbitmq-server:rabbitmq-server": "rabbitmq-server",
    "java": "default-jre-headless",
    "mvn": "maven",
}

WITHOUT_BROKERS = "then `make setup` again. REST and gRPC run without them."


def absent(known: Mapping[str, str] = PACKAGES) -> list[str]:
    """The Debian packages whose programs are not on this machine."""
    return [
        package
        for programs, package in known.items()
        if not any(shutil.which(program) for program in programs.split(":"))
    ]


def install(packages: list[str], what_for: str = "native brokers", without: str = WITHOUT_BROKERS) -> bool:
    """Install Debian packages, starting no server. Says what to type when this is not ours to do."""
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"setup: missing for {what_for}: {names}; on Debian type `sudo apt-get install {names}`,")
        print(f"setup: {without}")
        return False
    print(f"setup: installing {names} with apt-get, since you are root", flush=True)
    started_epmd = shutil.which("epmd") is None
    with no_servers(POLICY):
        done = _apt("install", packages) or (_apt("update", []) and _apt("install", packages))
    if not done:
        print(f"setup: apt-get could not install {names}: type `apt-get install {names}` to see why")
        return False
    if "rabbitmq-server" in packages and Path("/run/systemd/system").exists():
        units = ["rabbitmq-server.service", *(["epmd.service", "epmd.socket"] if started_epmd else [])]
        print(f"setup: {units[0]} will not start with the machine, as it listens on every interface")
        subprocess.run(["systemctl", "disable", "--quiet", *units], check=False, stderr=subprocess.DEVNULL)
    return True


@contextmanager
def no_servers(policy: Path) -> Iterator[None]:
    """Forbid packages to start servers, unless the machine has a policy of its own; removed on any way out."""
    if policy.exists():
        yield
        return
    try:
        policy.write_text(FORBID)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def fetch_kafka(home: Path) -> bool:
    """Put Kafka's jars into home/kafka/libs, unless they are there as the pom says them."""
    libs, stamp = home / "kafka" / "libs", home / "kafka" / "stamp"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
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
        ["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        print(f"setup: Maven could not fetch Kafka: {_first_error(done.stdout)}")
        print("setup: when the network is back, type `make setup` again. REST, gRPC and RabbitMQ run without it.")
        return False
    stamp.unlink(missing_ok=True)
    shutil.rmtree(libs, ignore_errors=True)
    fresh.rename(libs)
    stamp.write_text(wanted)
    return True


def _apt(verb: str, packages: list[str]) -> bool:
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


def _first_error(said: str) -> str:
    lines = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines() or ["it said nothing"]
    return lines[0][:300]


def broker_needed(transports: str) -> bool:
    """Whether any of these needs one that we start, names with commas; without a name any may."""
    names = [name.strip() for name in transports.split(",") if name.strip()]
    return not names or any(map(_needs_broker, names))


def _needs_broker(name: str) -> bool:
    with suppress(SettingError):  # whoever asked for it is told by what comes after set-up
        return not named(name).traits.needs.isdisjoint(VARIABLES)
    return False


def main(transports: str = "") -> None:
    """Install what is missing. Always ends with exit code 0, unless it is interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not broker_needed(transports):
        return
    if packages := absent():
        install(packages)
    (HOME / "kafka").mkdir(parents=True, exist_ok=True)
    fetch_kafka(HOME)


if __name__ == "__main__":
    main(*sys.argv[1:])
