"""`make doctor`: what is here, what is missing, what to type. Ends with 0 when all four methods can run, else 1."""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.paths import ROOT
from bench.provision import VARIABLES, Unavailable, compose, kafka, rabbitmq
from bench.provision import cleanup as ledger
from bench.provision.brokers import standing
from bench.provision.ports import free_ports, public_listener

HOME = ROOT / ".fourways"
JAVA_NEEDED = 17


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `state` is ok, missing, note or - (not there, and not needed)."""

    what: str
    state: str
    detail: str


def python_packages(wanted: Path) -> Finding:
    """Whether everything that requirements.in names is installed."""
    lines = (line.partition("#")[0].strip() for line in wanted.read_text().splitlines())
    names = [re.split(r"[<>=\[ ]", line)[0] for line in lines if line]
    absent = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        return Finding("Python packages", "missing", f"{', '.join(absent)}: type `make setup`")
    return Finding("Python packages", "ok", f"{len(names)} of requirements.in, Python {sys.version.split()[0]}")


def rabbitmq_server() -> Finding:
    """Whether RabbitMQ can be started here."""
    if (why := rabbitmq.missing()) is not None:
        return Finding("RabbitMQ", "missing", why)
    script = rabbitmq.script() or ""
    found = re.search(r"rabbitmq_server-([\d.]+)", str(Path(script).resolve()))
    return Finding("RabbitMQ", "ok", f"{found[1]} in {script}" if found else script)


def java() -> Finding:
    """Whether there is a Java that Kafka runs on."""
    if shutil.which("java") is None:
        return Finding("Java", "missing", kafka.NO_JAVA)
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)([^"]*)"', said)
    if found and int(found[1]) >= JAVA_NEEDED:
        return Finding("Java", "ok", found[1] + found[2])
    return Finding("Java", "missing", f"this one is {found[0] if found else 'unknown'}, {JAVA_NEEDED} is needed")


def kafka_jars(home: Path) -> list[Finding]:
    """Whether Kafka's jars are here, and if not, whether Maven could fetch them."""
    jars, maven = kafka.version_in(home), shutil.which("mvn")
    return [
        Finding("Maven", "ok", maven)
        if maven
        else Finding("Maven", "-" if jars else "missing", "type `sudo apt-get install maven` and `make setup`"),
        Finding("Kafka jars", "ok", f"{jars} in {kafka.jars(home)}")
        if jars
        else Finding("Kafka jars", "missing", kafka.NO_JARS),
    ]


async def given_and_kept(given: Mapping[str, str], home: Path) -> tuple[set[str], list[Finding]]:
    """The brokers that answer without our doing, and what is to be said of each."""
    remarks: list[str] = []
    async with standing(VARIABLES, given, home, remarks.append) as found:
        findings = [Finding("kept by make up", "note", remark) for remark in remarks]
    for broker in found.values():
        if isinstance(broker, Unavailable):
            findings.append(Finding(VARIABLES[broker.name], "missing", broker.why))
        else:
            # Without the URL, which may hold a password.
            findings.append(Finding(f"{broker.name}, {broker.provided_by}", "ok", f"answers {broker.version}"))
    if not any(run.brokers for run in ledger.kept(home)):
        findings.append(Finding("kept by make up", "-", "none; `make up` keeps brokers running between runs"))
    return {name for name, broker in found.items() if not isinstance(broker, Unavailable)}, findings


def traces(home: Path) -> list[Finding]:
    """What killed runs have left, and who listens where our ports would be."""
    left = [folder.name for folder in ledger.leftovers(home)]
    findings = [
        Finding("killed runs", "note", f"{', '.join(left)}: the next run or `make down` cleans up")
        if left
        else Finding("killed runs", "-", "nothing left behind"),
    ]
    try:
        public = [port for port in (5672, 4369, 25672) if public_listener(port)]
    except psutil.AccessDenied:
        public = []
    if public:
        ports = ", ".join(map(str, public))
        advice = "a RabbitMQ of the system? `sudo systemctl disable --now rabbitmq-server` ends it"
        findings.append(Finding("open to the network", "note", f"port {ports}: {advice}"))
    try:
        free_ports(6)
        findings.append(Finding("ports", "ok", "free ones on 127.0.0.1"))
    except OSError as error:
        findings.append(Finding("ports", "missing", f"{error}: end what holds them"))
    return findings


async def examine(given: Mapping[str, str], home: Path) -> tuple[list[Finding], list[str]]:
    """All findings, and the methods that cannot run."""
    packages, server, runtime = python_packages(ROOT / "requirements.in"), rabbitmq_server(), java()
    jars = kafka_jars(home)
    command = await compose.engine()
    engine = (
        Finding("container engine", "ok", f"{' '.join(command)}: used before native brokers")
        if command
        else Finding("container engine", "-", "none answers; native brokers are used")
    )
    there, standing_ones = await given_and_kept(given, home)
    cannot = ["rest", "grpc"] if packages.state != "ok" else []
    # A broker given by URL is used or refused; nothing else takes its place.
    native = {
        "rabbitmq": server.state == "ok",
        "kafka": runtime.state == jars[-1].state == "ok",
    }
    for method, name in (("broker", "rabbitmq"), ("events", "kafka")):
        can = name in there or (not given.get(name) and (native[name] or command is not None))
        if not can or packages.state != "ok":
            cannot.append(method)
    return [packages, server, runtime, *jars, engine, *standing_ones, *traces(home)], cannot


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.provision.doctor", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="brokers' data and jars")
    home = ledger.place(parser.parse_args().home)
    given = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
    findings, cannot = asyncio.run(examine(given, home))
    table = Table("", "", "what it is, or what to type", box=None, pad_edge=False)
    colours = {"ok": "green", "missing": "red", "note": "yellow", "-": "dim"}
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(finding.what, f"[{colour}]{finding.state}[/{colour}]", escape(finding.detail))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\ncannot run: {', '.join(cannot)}" if cannot else "\nall four methods can run: `make bench`")
    return 1 if cannot else 0


if __name__ == "__main__":
    sys.exit(main())
