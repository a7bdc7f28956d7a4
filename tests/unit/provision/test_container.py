"""Tests that brokers in containers get the same settings as native ones.

No container engine is called: the tests compare the settings with those of a native broker at each security level, and
with compose.secure.yaml.
"""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import StartFailed
from bench.provision import brokers, compose, container, kafka, rabbitmq
from bench.provision.base import Broker, Security, Unavailable
from bench.provision.brokers import provide_brokers
from bench.provision.certificates import make_keys
from bench.provision.cleanup import remove_orphans
from bench.provision.process import has_ended
from transports.security import ENCRYPTED_LEVELS, LEVELS, ROLES, RoleKeys

TEXT = compose.SECURE_COMPOSE_FILE.read_text()
NAMES = ("rabbitmq", "kafka")
ASKED = [*((level,) for level in LEVELS if level in ENCRYPTED_LEVELS), ("none", "tls"), LEVELS]
EVERYWHERE = "0.0.0.0"
"""Where a contained server listens; published at 127.0.0.1 alone."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("made") / "keys")


def never(*arguments: object, **options: object) -> None:
    raise StartFailed("nothing is started here", code="for-the-test")


async def start_natively(name: str, folder: Path, security: Security, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a native broker is told, written into this folder by its start."""
    folder.mkdir()
    for module in (kafka, rabbitmq):
        monkeypatch.setattr(module, "spawn", never)
    monkeypatch.setattr(kafka, "unavailable_reason", lambda home: None)
    installed = rabbitmq.Installation("native", "/usr/sbin/rabbitmq-server", "/usr/bin/epmd", "3.10.8")
    monkeypatch.setattr(rabbitmq, "find_installation", lambda home: installed)
    with suppress(StartFailed):
        if name == "kafka":
            await kafka.start(folder, security, home=folder)
        else:
            await rabbitmq.start(folder, security, home=folder)


def read(folder: Path, file: str) -> str:
    """Without what differs from run to run: ports, the folder, and an identity that is drawn."""
    text = (folder / file).read_text().replace(str(folder), "FOLDER")
    return re.sub(r'"F[\w-]{21}"', '"IDENTITY"', re.sub(r"\b\d{5}\b", "PORT", text))


def users(folder: Path) -> Any:
    """RabbitMQ's, without the salt."""
    if not (folder / "definitions.json").exists():
        return None
    said = json.loads((folder / "definitions.json").read_text())
    for user in said["users"]:
        del user["password_hash"]
    return said


@pytest.mark.parametrize("levels", ASKED, ids="+".join)
async def test_a_contained_rabbitmq_is_told_what_a_native_one_is(
    levels: tuple[str, ...], keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = Security(levels, str(keys))
    native, folder = tmp_path / "native", tmp_path / "config"
    await start_natively("rabbitmq", native, security, monkeypatch)
    container.build_secured_config("rabbitmq", folder, security)
    for file in ("rabbitmq.conf", rabbitmq.MTLS_LISTENER_FILE, "enabled_plugins"):
        assert read(folder, file).replace(EVERYWHERE, "127.0.0.1") == read(native, file)
    assert users(folder) == users(native)
    assert (users(folder) is None) == ("auth" not in levels)


@pytest.mark.parametrize("levels", ASKED, ids="+".join)
async def test_a_contained_kafka_is_told_what_a_native_one_is(
    levels: tuple[str, ...], keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = Security(levels, str(keys))
    native, folder = tmp_path / "native", tmp_path / "config"
    await start_natively("kafka", native, security, monkeypatch)
    container.build_secured_config("kafka", folder, security)
    said = read(folder, "server.properties").replace(EVERYWHERE, "127.0.0.1")
    assert said == read(native, "server.properties").replace("FOLDER/data", str(container.KAFKA_DATA))
    tools = [read(at, "format.args").partition('"kafka.tools')[2] for at in (folder, native)]
    assert tools[0] == tools[1]
    assert ("--add-scram" in tools[0]) == ("auth" in levels)


@pytest.mark.parametrize("levels", ASKED, ids="+".join)
@pytest.mark.parametrize("name", NAMES)
def test_a_server_listens_where_its_level_is_published(
    name: str, levels: tuple[str, ...], keys: Path, tmp_path: Path
) -> None:
    config = container.build_secured_config(name, folder := tmp_path / "config", Security(levels, str(keys)))
    assert set(config.urls) == set(levels)
    written = "".join(
        (folder / file).read_text()
        for file in (rabbitmq.MTLS_LISTENER_FILE, "rabbitmq.conf", "server.properties")
        if (folder / file).exists()
    )
    for level, url in config.urls.items():
        port = re.findall(r"127\.0\.0\.1:(\d+)", url)[0]
        published = {config.variables[f"FOURWAYS_{kind.upper()}"] for kind in (level, "tls")}
        assert port in published
        assert re.search(rf'{re.escape(EVERYWHERE)}(:|", ){port}\b', written)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_secret_is_in_files_of_their_owner_alone(name: str, keys: Path, tmp_path: Path) -> None:
    config = container.build_secured_config(name, folder := tmp_path / "config", Security(LEVELS, str(keys)))
    secret = [RoleKeys(keys, role).password for role in ROLES]
    secret += [RoleKeys(keys, role).key.read_text().splitlines()[1] for role in (*ROLES, *NAMES)]
    words = TEXT + repr(config.variables) + repr(config.once_ready)
    assert not [one for one in secret if one in words]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    holding = {path for path in folder.iterdir() if any(one in path.read_text() for one in secret)}
    assert {path.name for path in holding} == {"rabbitmq": set(), "kafka": {"format.args", "keystore.pem"}}[name]
    hashes = {folder / "definitions.json"} if name == "rabbitmq" else set()
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding | hashes} == {0o600}
    config.delete_secrets()
    assert not (folder / "format.args").exists()


def test_the_file_is_given_every_variable_that_it_names(keys: Path, tmp_path: Path) -> None:
    named = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    for name in NAMES:
        assert (
            named
            == container.build_secured_config(name, tmp_path / name, Security(("tls",), str(keys))).variables.keys()
        )


def filled_in(name: str, variables: Mapping[str, str]) -> str:
    """What the file says of a service, as an engine reads it."""
    service = TEXT.partition(f"\n  {name}:\n")[2].partition("\n\n")[0]
    return re.sub(r"(?<!\$)\$\{(\w+)[^}]*\}", lambda found: variables[found[1]], service)


@pytest.mark.parametrize(("name", "kinds"), [("rabbitmq", LEVELS[:3]), ("kafka", LEVELS)])
def test_it_publishes_at_loopback_alone_under_the_port_that_a_server_is_told(
    name: str, kinds: tuple[str, ...], keys: Path, tmp_path: Path
) -> None:
    variables = container.build_secured_config(name, tmp_path / "config", Security(LEVELS, str(keys))).variables
    listed = filled_in(name, variables).partition("    ports:\n")[2].partition("    volumes:\n")[0]
    ports = [variables[f"FOURWAYS_{kind.upper()}"] for kind in kinds]
    assert listed == "".join(f'      - "127.0.0.1:{port}:{port}"\n' for port in ports)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mounted_is_read_only_and_holds_no_key_but_its_own(name: str, keys: Path, tmp_path: Path) -> None:
    variables = container.build_secured_config(
        name, folder := tmp_path / "config", Security(LEVELS, str(keys))
    ).variables
    listed = filled_in(name, variables).partition("    volumes:\n")[2].splitlines()
    paths = [folder, keys / "authority.pem", *([keys / "rabbitmq"] if name == "rabbitmq" else [])]
    assert listed == [f'      - "{path}:{path}:ro"' for path in paths]
    assert all(path.exists() for path in paths)


def test_its_images_and_machines_are_those_of_brokers_without_tls_and_of_native_ones() -> None:
    images = [
        re.findall(r"image: (\S+)", file.read_text()) for file in (compose.COMPOSE_FILE, compose.SECURE_COMPOSE_FILE)
    ]
    # The database has no TLS: it is the services' own, on the same machine.
    assert [image for image in images[0] if not image.startswith("postgres:")] == images[1]
    (heap,) = re.findall(r"KAFKA_HEAP_OPTS: (.*)", TEXT)
    assert set(heap.split()) <= set(kafka.SERVER_JVM_OPTIONS)
    (erlang,) = re.findall(r"ERL_ARGS: (.*)", TEXT)
    # Distribution has no port outside; within, rabbitmqctl comes by the container's own address.
    assert rabbitmq.ERLANG_OPTIONS.partition(" -kernel")[0] == erlang


ENGINE = """
import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("FOURWAYS_")}
with open(sys.argv[1], "a") as out:
    print(json.dumps([sys.argv[3:], told]), file=out)
sys.exit(int(sys.argv[2]) if "up" in sys.argv else 0)
"""
"""In the place of one: notes what it is asked to do."""


def an_engine(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That answers, and with this exit code to ``up``; where it takes note."""
    (folder / "engine.py").write_text(ENGINE)

    async def engine() -> tuple[str, ...]:
        return (sys.executable, str(folder / "engine.py"), str(folder / "asked"), str(code))

    async def answers(*where: object) -> str:
        return "1.2.3"

    monkeypatch.setattr(compose, "find_engine", engine)
    monkeypatch.setattr(brokers, "probe_version", answers)
    return folder / "asked"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_has_a_broker_in_a_container_at_all_its_levels(
    name: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = an_engine(tmp_path, 0, monkeypatch)
    security = Security(("tls", "mtls", "auth"), str(keys))
    async with provide_brokers([name], given={}, home=tmp_path, say=lambda _: None, security=security) as found:
        broker = found[name]
        assert isinstance(broker, Broker)
        assert (broker.provided_by, broker.version, broker.keys) == ("compose", "1.2.3", str(keys))
        ports = {level: re.findall(r":(\d+)", broker.at(level))[-1] for level in security.levels}
        assert not list(tmp_path.glob("run-*/*/format.args"))
    asked = [json.loads(line) for line in noted.read_text().splitlines()]
    assert [words[4] for words, _ in asked] == ["up", *(["exec"] if name == "rabbitmq" else []), "down"]
    for words, variables in asked:
        assert words[3] == str(compose.SECURE_COMPOSE_FILE)
        assert {variables[f"FOURWAYS_{level.upper()}"] for level in security.levels} >= set(ports.values())
    assert (ports["tls"] == ports["auth"]) == (name == "rabbitmq")  # which asks neither for a certificate


@pytest.mark.slow
async def test_a_container_that_does_not_start_is_removed_before_another_broker_takes_its_place(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, said = an_engine(tmp_path, 1, monkeypatch), []
    monkeypatch.setattr(kafka, "unavailable_reason", lambda home: f"asked after {len(noted.read_text().splitlines())}")
    security = Security(("tls",), str(keys))
    async with provide_brokers(["kafka"], given={}, home=tmp_path, say=said.append, security=security) as found:
        assert found == {"kafka": Unavailable("kafka", "asked after 2")}
    assert "kafka" in said[-1]
    assert "exit code 1" in said[-1]


HANGING_ENGINE = """
import os, pathlib, sys, time
note = pathlib.Path(sys.argv[1])
if "up" in sys.argv:
    note.with_suffix(".new").write_text(str(os.getpid()))
    note.with_suffix(".new").replace(note)
    time.sleep(120)
"""
"""Is still fetching an image."""
OWNER = """
import asyncio, pathlib, sys
from bench.provision import compose
from bench.provision.brokers import provide_brokers
home = pathlib.Path(sys.argv[1])
async def find_engine():
    return sys.executable, str(home / "engine.py"), str(home / "pid")
compose.find_engine = find_engine
async def run():
    async with provide_brokers(["kafka"], given={}, home=home, say=lambda sentence: None):
        pass
asyncio.run(run())
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_client_that_would_start_its_container(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(HANGING_ENGINE)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)]) as owner:
        while not (tmp_path / "pid").exists():
            assert owner.poll() is None
        owner.kill()
    client = psutil.Process(int((tmp_path / "pid").read_text()))
    remove_orphans(tmp_path, lambda sentence: None)
    left = not has_ended(client)
    if left:
        client.kill()
    assert not left
    assert not list(tmp_path.glob("run-*"))
