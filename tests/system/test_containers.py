"""Tests brokers in containers for real: both compose files, at every level of security, by an engine.

Where an engine answers, it is used, with the images that it fetches. Elsewhere an engine of the tests' own has images
of the same names, made here (tests/system/container_images.py).
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import ExitCode
from bench.paths import STATE
from bench.provision import compose, kafka, postgres
from bench.provision.base import PLAIN, Broker, Security
from bench.provision.brokers import BROKER_NAMES, SERVER_NAMES, probe_version, provide_brokers
from bench.provision.certificates import make_keys
from bench.provision.ports import has_public_listener
from bench.provision.rabbitmq_packages import find_unpacked
from tests.system import container_images as images
from tests.system.command_line import NO_ENGINE, SHORT_RUN, BenchCommandLine, wait_until
from tests.system.container_engine import NoEngine, start_engine
from transports.security import LEVELS, NONE

ANSWERING = asyncio.run(compose.find_engine())
"""Found before any test, since it decides whether they wait for `make nightly`."""
pytestmark = [pytest.mark.slow, pytest.mark.broker, *([] if ANSWERING else [pytest.mark.nightly])]

MEASURED = (ExitCode.OK, ExitCode.DOUBTFUL, ExitCode.INVALID)
"""Of runs to their end: how fast a busy machine is says nothing of the engine."""
PULL_TIMEOUT_S = 600
HEALTH_TIMEOUT_S = 150
DAC_OVERRIDE = 1 << 1
"""as the kernel writes a set of capabilities"""
PROJECT = "label=com.docker.compose.project"


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the images' origin."""

    program: str
    env: Mapping[str, str]
    own: bool
    servers: tuple[str, ...] = SERVER_NAMES
    """of which it has images"""

    def ask(self, *words: str) -> str:
        """Return what a command of the engine's says."""
        env = {**os.environ, **self.env}
        return subprocess.run([self.program, *words], env=env, capture_output=True, text=True, check=True).stdout

    def inspect(self, containers: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("inspect", *containers)) if containers else []
        return found

    def find(self, home: Path) -> list[dict[str, Any]]:
        """Return the containers of the runs of this state folder."""
        projects = [f"fourways-{run.name}-{name}" for run in home.glob("run-*") for name in SERVER_NAMES]
        listed = [self.ask("ps", "-aq", "--filter", f"{PROJECT}={project}").split() for project in projects]
        return self.inspect([one for some in listed for one in some])

    def list_everything(self) -> tuple[str, str, str]:
        """Return the ids of all containers, volumes and networks; empty where the engine has other users."""
        if not self.own:
            return ("", "", "")
        return self.ask("ps", "-aq"), self.ask("volume", "ls", "-q"), self.ask("network", "ls", "-q")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if ANSWERING is not None:
        program = "podman" if ANSWERING[0] == "podman" else "docker"
        named = {name: os.environ[name] for name in NO_ENGINE if name in os.environ}
        found = Engine(program, named, own=False)
        _fetch_images(found)
        yield found
        return
    unpacked = find_unpacked(STATE)
    if unpacked is None:
        pytest.skip("no RabbitMQ for an image: type `make setup`")
    if why := kafka.unavailable_reason(STATE):
        pytest.skip(f"no Kafka for an image: {why}")
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed: type `sudo apt-get install docker-compose`")
    folder = tmp_path_factory.mktemp("engine") / "own"
    try:
        with start_engine(folder) as env:
            images.import_image(images.describe_rabbitmq(unpacked), images.read_image_name("rabbitmq"), env)
            images.import_image(images.describe_kafka(STATE), images.read_image_name("kafka"), env)
            servers = BROKER_NAMES
            if (programs := postgres.find_programs()) is not None:
                images.import_image(images.describe_postgres(programs), images.read_image_name(postgres.NAME), env)
                servers = SERVER_NAMES
            yield Engine("docker", env, own=True, servers=servers)
    except NoEngine as error:
        pytest.skip(str(error))
    assert [process for process in psutil.process_iter(["cmdline"]) if _names(process, folder)] == []
    assert not folder.exists()


def _fetch_images(found: Engine) -> None:
    for name in map(images.read_image_name, SERVER_NAMES):
        try:
            found.ask("image", "inspect", name)
        except subprocess.CalledProcessError:
            try:
                subprocess.run([found.program, "pull", "-q", name], timeout=PULL_TIMEOUT_S, check=True)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                pytest.skip(f"an engine answers, and {name} cannot be fetched")


def _names(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or ())


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> Iterator[BenchCommandLine]:
    """A command line with the engine, and without given brokers; leaves no container, volume, network or process."""
    before = engine.list_everything()
    made = BenchCommandLine(tmp_path, {})
    for name in NO_ENGINE:
        made.env.pop(name)
    made.env |= engine.env
    yield made
    left = [*made.left(), *engine.find(made.home)]
    if left:
        made.done(made.fourways("down"))
    for process in made.processes():
        process.kill()
    assert left == []
    assert engine.list_everything() == before


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_has_its_brokers_from_the_engine(house: BenchCommandLine, level: str) -> None:
    done = house.run("TRANSPORT=broker,events", f"SECURITY={level}", *SHORT_RUN, "RATE=20", "DEADLINE=20")
    assert done.returncode in MEASURED, done.stdout + done.stderr
    assert "RuntimeWarning" not in done.stderr
    run = house.open_latest_run()
    assert {name: said["provided_by"] for name, said in run.manifest["brokers"].items()} == dict.fromkeys(
        BROKER_NAMES, "compose"
    ), done.stdout
    trials = run.trials()
    assert sorted(zip(trials["transport"], trials["security"], strict=True)) == [("broker", level), ("events", level)]
    assert list(trials["failed"]) == list(trials["unfinished"]) == [0, 0]
    assert (trials["shipped"] > 0).all()


def test_a_run_has_its_databases_from_the_engine(house: BenchCommandLine, engine: Engine) -> None:
    if postgres.NAME not in engine.servers:
        pytest.skip(f"no PostgreSQL for an image: {postgres.unavailable_reason()}")
    done = house.run("TRANSPORT=rest", "STORE=postgres", *SHORT_RUN, "RATE=20")
    assert done.returncode in MEASURED, done.stdout + done.stderr
    run = house.open_latest_run()
    assert run.manifest["brokers"][postgres.NAME]["provided_by"] == "compose"
    assert list(run.trials()["unfinished"]) == [0]


def test_brokers_that_are_kept_are_used_and_taken_down(house: BenchCommandLine, engine: Engine) -> None:
    assert house.done(house.fourways("up")).returncode == 0
    assert len(engine.find(house.home)) == len(BROKER_NAMES)
    done = house.run("TRANSPORT=broker", *SHORT_RUN, "RATE=20")
    assert done.returncode in MEASURED, done.stdout + done.stderr
    assert house.open_latest_run().manifest["brokers"]["rabbitmq"]["provided_by"] == "kept"
    assert house.done(house.fourways("down")).returncode == 0
    assert engine.find(house.home) == []


def test_after_a_kill_the_containers_go_with_the_next_command(house: BenchCommandLine, engine: Engine) -> None:
    with house.running("TRANSPORT=broker", "SECURITY=auth", *SHORT_RUN) as process:
        wait_until(lambda: engine.find(house.home))
        process.kill()
        process.wait()
    assert len(engine.find(house.home)) == 1
    assert house.done(house.fourways("down")).returncode == 0


@pytest.mark.parametrize("levels", [(NONE,), LEVELS], ids="+".join)
async def test_containers_are_healthy_and_limited(
    levels: tuple[str, ...], house: BenchCommandLine, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)
    plain = levels == (NONE,)
    security = PLAIN if plain else Security(levels, str(make_keys(tmp_path / "keys")))
    said: list[str] = []
    names = engine.servers if plain else BROKER_NAMES
    async with provide_brokers(names, given={}, home=house.home, say=said.append, security=security) as found:
        for name, broker in found.items():
            assert isinstance(broker, Broker), broker
            assert broker.provided_by == "compose", said
            for level in levels:
                assert await probe_version(name, broker.at(level), level, broker.keys) is not None
        await asyncio.to_thread(wait_until_healthy, engine, house.home)
        containers = engine.find(house.home)
        assert len(containers) == len(names)
        for container in containers:
            check_limits(container, plain=plain)
            check_ports(container)
            check_privileges(engine.ask("exec", container["Id"], "cat", "/proc/1/status"), plain=plain)
    for container in containers:
        for kind, name in list_belongings(container):
            with pytest.raises(subprocess.CalledProcessError):
                engine.ask(kind, "inspect", name)


def wait_until_healthy(engine: Engine, home: Path) -> None:
    give_up = time.monotonic() + HEALTH_TIMEOUT_S
    while (said := {one["State"]["Health"]["Status"] for one in engine.find(home)}) != {"healthy"}:
        assert time.monotonic() < give_up, said
        time.sleep(0.5)


def check_limits(container: Mapping[str, Any], *, plain: bool) -> None:
    """As docs/reference/brokers.md says them."""
    host = container["HostConfig"]
    assert host["Memory"] == 4 << 30
    assert host["NanoCpus"] == (os.cpu_count() or 1) * 10**9
    assert host["PidsLimit"] == 1024
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert [name.removeprefix("CAP_") for name in host["CapAdd"] or ()] == ([] if plain else ["DAC_OVERRIDE"])
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    mounts = [mount for mount in container["Mounts"] if mount["Type"] == "bind"]
    assert bool(mounts) != plain
    assert not any(mount["RW"] for mount in mounts)


def check_ports(container: Mapping[str, Any]) -> None:
    bound = [place for places in container["NetworkSettings"]["Ports"].values() for place in places or ()]
    assert bound
    for place in bound:
        assert place["HostIp"] == "127.0.0.1"
        assert not has_public_listener(int(place["HostPort"]))


def check_privileges(status: str, *, plain: bool) -> None:
    """Of the server's process, as the kernel tells them."""
    said = dict(line.split(":", 1) for line in status.splitlines())
    assert int(said["NoNewPrivs"]) == 1
    assert int(said["CapBnd"], 16) == (0 if plain else DAC_OVERRIDE)
    assert (set(said["Uid"].split()) == {"0"}) != plain


def list_belongings(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What must go with a container, each with its kind."""
    yield "container", container["Id"]
    for mount in container["Mounts"]:
        if mount["Type"] == "volume":
            yield "volume", mount["Name"]
    for network in container["NetworkSettings"]["Networks"].values():
        yield "network", network["NetworkID"]
