"""Checks this machine: what is installed, what is missing, what to type."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from bench.paths import ROOT
from bench.provision import cleanup, compose, kafka, postgres, rabbitmq
from bench.provision.base import Unavailable
from bench.provision.brokers import URL_VARIABLES, find_existing_brokers
from bench.provision.ports import find_free_ports, has_public_listener
from bench.provision.pythons import Python, describe_build, find_pythons, read_interpreter
from bench.provision.versions import describe_age, find_age

MIN_JAVA_VERSION = 17


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. ``state`` is ok, missing, note or - (absent and not needed)."""

    what: str
    state: str
    detail: str


def check_python_packages(project: Path) -> Finding:
    """Return whether every package that this pyproject.toml depends on is installed."""
    lines = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    names = [re.split(r"[<>=\[ ]", line)[0] for line in lines]
    absent = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        return Finding("Python packages", "missing", f"{', '.join(absent)}: type `make setup`")
    return Finding("Python packages", "ok", f"{len(names)} that Fourways names, Python {sys.version.split()[0]}")


def check_interpreter(here: Mapping[str, Any], ranked: Sequence[Python]) -> Finding:
    """Return whether the interpreter ``here`` is optimised; if not, which of ``ranked`` is."""
    built = f"{here['version']}, {describe_build(here['pgo'], here['lto'])}"
    if here["pgo"]:
        return Finding("Python", "ok", built)
    better = next((one for one in ranked if one.pgo and one.supported and not one.unusable), None)
    how = "no better one is here" if better is None else f"type `make setup PYTHON={better.path}`"
    return Finding("Python", "note", f"{built}: services take more CPU, and ratios between methods move; {how}")


def check_rabbitmq(home: Path) -> Finding:
    """Return which RabbitMQ would be started on this machine, and how old it is."""
    found = rabbitmq.find_installation(home)
    if found is None:
        return Finding("RabbitMQ", "missing", rabbitmq.NOT_INSTALLED)
    age = find_age("rabbitmq", found.version)
    old = age is not None and age.is_old
    detail = f"{found.version or found.server}, {found.provided_by}: {describe_age('rabbitmq', found.version)}"
    return Finding("RabbitMQ", "note" if old else "ok", f"{detail}; type `make setup`" if old else detail)


def check_postgres() -> Finding:
    """Return whether PostgreSQL can be started on this machine, and how old it is; for STORE=postgres alone."""
    if (why := postgres.unavailable_reason()) is not None:
        return Finding("PostgreSQL", "-", f"for STORE=postgres alone; {why}")
    version = postgres.read_installed_version()
    detail = f"{postgres.find_programs()}, {version or 'version not known'}: {describe_age(postgres.NAME, version)}"
    age = find_age(postgres.NAME, version)
    return Finding("PostgreSQL", "note" if age is not None and age.is_old else "ok", detail)


def check_counters() -> list[Finding]:
    """Return what can count for `make regress`; it has no use for others."""
    known = {
        "valgrind": "instructions are not counted without it; type `sudo apt-get install valgrind`",
        "strace": "system calls are counted without it by root alone; type `sudo apt-get install strace`",
    }
    return [
        Finding(name, "ok" if (found := shutil.which(name)) else "-", found or f"for `make regress` alone; {why}")
        for name, why in known.items()
    ]


def check_java() -> Finding:
    """Return whether there is a Java new enough for Kafka."""
    if shutil.which("java") is None:
        return Finding("Java", "missing", kafka.NO_JAVA)
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, encoding="utf-8", check=False).stderr
    found = re.search(r'version "(\d+)([^"]*)"', said)
    if found and int(found[1]) >= MIN_JAVA_VERSION:
        return Finding("Java", "ok", found[1] + found[2])
    return Finding("Java", "missing", f"this one is {found[0] if found else 'unknown'}, {MIN_JAVA_VERSION} is needed")


def check_kafka_jars(home: Path) -> list[Finding]:
    """Return whether Kafka's jars are installed, and whether Maven could fetch them."""
    jars, maven = kafka.read_installed_version(home), shutil.which("mvn")
    return [
        Finding("Maven", "ok", maven)
        if maven
        else Finding("Maven", "-" if jars else "missing", "type `sudo apt-get install maven` and `make setup`"),
        Finding("Kafka jars", "ok", f"{jars}: {describe_age('kafka', jars)}")
        if jars
        else Finding("Kafka jars", "missing", kafka.NO_JARS),
    ]


async def check_existing_brokers(given: Mapping[str, str], home: Path) -> tuple[set[str], list[Finding]]:
    """Return the names of the brokers that already answer, given by URL or kept, and a finding for each."""
    remarks: list[str] = []
    async with find_existing_brokers(URL_VARIABLES, given, home, remarks.append) as found:
        findings = [Finding("kept by make up", "note", remark) for remark in remarks]
    for broker in found.values():
        if isinstance(broker, Unavailable):
            findings.append(Finding(URL_VARIABLES[broker.name], "missing", broker.why))
        else:
            # Without the URL, which may hold a password.
            age = f"{broker.version}: {describe_age(broker.name, broker.version)}" if broker.version else ""
            findings.append(Finding(f"{broker.name}, {broker.provided_by}", "ok", f"answers {age}".strip()))
    if not any(run.brokers for run in cleanup.find_kept_ledgers(home)):
        findings.append(Finding("kept by make up", "-", "none; `make up` keeps brokers running between runs"))
    return {name for name, broker in found.items() if not isinstance(broker, Unavailable)}, findings


def check_leftovers_and_ports(home: Path) -> list[Finding]:
    """Return findings about killed runs, public listeners on broker ports, and free ports."""
    left = [folder.name for folder in cleanup.find_leftover_folders(home)]
    findings = [
        Finding("killed runs", "note", f"{', '.join(left)}: the next run or `make down` cleans up")
        if left
        else Finding("killed runs", "-", "nothing left behind"),
    ]
    try:
        public = [port for port in (5672, 4369, 25672) if has_public_listener(port)]
    except psutil.AccessDenied:
        public = []
    if public:
        ports = ", ".join(map(str, public))
        advice = "a RabbitMQ of the system? `sudo systemctl disable --now rabbitmq-server` ends it"
        findings.append(Finding("open to the network", "note", f"port {ports}: {advice}"))
    try:
        find_free_ports(6)
        findings.append(Finding("ports", "ok", "free ones on 127.0.0.1"))
    except OSError as error:
        findings.append(Finding("ports", "missing", f"{error}: end what holds them"))
    return findings


async def run_checks(given: Mapping[str, str], home: Path) -> tuple[list[Finding], list[str]]:
    """Run all checks; return their findings, and the methods that cannot run."""
    packages, server, runtime = check_python_packages(ROOT / "pyproject.toml"), check_rabbitmq(home), check_java()
    jars = check_kafka_jars(home)
    command = await compose.find_engine()
    engine = (
        Finding("container engine", "ok", f"{' '.join(command)}: used before native brokers")
        if command
        else Finding("container engine", "-", "none answers; native brokers are used")
    )
    there, standing_ones = await check_existing_brokers(given, home)
    cannot = ["rest", "grpc"] if packages.state != "ok" else []
    # A broker given by URL is used or refused; nothing else takes its place.
    native = {
        "rabbitmq": server.state != "missing",
        "kafka": runtime.state == jars[-1].state == "ok",
    }
    for method, name in (("broker", "rabbitmq"), ("events", "kafka")):
        can = name in there or (not given.get(name) and (native[name] or command is not None))
        if not can or packages.state != "ok":
            cannot.append(method)
    python = check_interpreter(read_interpreter(), find_pythons())
    programs = [python, packages, server, runtime, *jars, check_postgres(), *check_counters(), engine]
    return [*programs, *standing_ones, *check_leftovers_and_ports(home)], cannot
