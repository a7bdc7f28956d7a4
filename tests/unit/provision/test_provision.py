"""Tests process handling, clean-up and messages of provisioning, without brokers."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.errors import InUse, StartFailed
from bench.provision import cleanup, compose, install, kafka, ports, rabbitmq
from bench.provision.base import Broker, Security, Unavailable
from bench.provision.brokers import URL_VARIABLES, find_existing_brokers, provide_brokers, stop_kept_brokers
from bench.provision.certificates import make_keys
from bench.provision.cleanup import remove_orphans
from bench.provision.ports import find_free_ports
from bench.provision.process import (
    MARK_VARIABLE,
    ChildProcess,
    find_marked_processes,
    finish_despite_cancellation,
    spawn,
    stop_processes_below,
    wait_until_answering,
)
from tests.conftest import refuses

IDLE = [sys.executable, "-c", "import time; time.sleep(60)"]
OWNER = """
import sys, time, pathlib
from bench.provision import cleanup
from bench.provision.process import spawn
run = cleanup.open_ledger(pathlib.Path(sys.argv[1]))
spawn([sys.executable, "-c", "import time; time.sleep(60)"], folder=run.folder, log=run.folder / "log")
print(run.folder, flush=True)
time.sleep(60)
"""


def idle(folder: Path) -> ChildProcess:
    """A child that does nothing, with the mark of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return spawn(IDLE, folder=folder, log=folder / "log")


def eventually(holds: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + 30
    while not holds() and time.monotonic() < give_up:
        time.sleep(0.01)
    return holds()


def killed_run(home: Path) -> Path:
    """The folder of a run that started a child and was killed with -9."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        owner.kill()
    return folder


async def test_free_ports_are_different_and_can_be_bound() -> None:
    chosen = find_free_ports(5)
    assert len(set(chosen)) == 5
    for port in chosen:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        server.close()


@pytest.mark.slow
def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child = idle(tmp_path)
    assert eventually(lambda: "sleep" in " ".join(psutil.Process(child.pid).cmdline()))
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[3]) == child.pid
    stop_processes_below(tmp_path)


@pytest.mark.slow
def test_ending_a_folder_leaves_no_process_of_it(tmp_path: Path) -> None:
    child = idle(tmp_path / "a")
    stop_processes_below(tmp_path)
    assert not psutil.pid_exists(child.pid)


@pytest.mark.slow
def test_ending_a_folder_spares_its_neighbour(tmp_path: Path) -> None:
    neighbour = idle(tmp_path / "ab")
    idle(tmp_path / "a")
    stop_processes_below(tmp_path / "a")
    assert [process.pid for process in find_marked_processes(tmp_path)] == [neighbour.pid]
    stop_processes_below(tmp_path)


@pytest.mark.slow
def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); open('deaf', 'w').close(); time.sleep(60)"
    child = spawn([sys.executable, "-c", stubborn], folder=tmp_path, log=tmp_path / "log")
    assert eventually((tmp_path / "deaf").exists)
    stop_processes_below(tmp_path, grace_s=0.2)
    assert not psutil.pid_exists(child.pid)


@pytest.mark.slow
async def test_waiting_for_a_child_that_ends_fails_at_once(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-c", "raise SystemExit(3)"], folder=tmp_path, log=tmp_path / "log")

    async def never() -> None:
        return None

    with refuses("ended-while-starting", "exit code 3", kind=StartFailed):
        await wait_until_answering(child, never, deadline_s=30)


@pytest.mark.parametrize("answer", [None, "it is ready"])
async def test_a_stop_that_a_probe_has_swallowed_stops_all_the_same(answer: str | None) -> None:
    async def deaf() -> str | None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return answer

    waiting = asyncio.create_task(wait_until_answering(None, deaf, deadline_s=30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.slow
def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with refuses("not-executable", "/no/such/program", kind=StartFailed):
        spawn(["/no/such/program"], folder=tmp_path, log=tmp_path / "log")


async def test_work_to_be_finished_is_finished_when_cancelled() -> None:
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        done.set()

    task = asyncio.ensure_future(finish_despite_cancellation(work()))
    await begun.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(go.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


@pytest.mark.slow
def test_cleaning_up_ends_what_a_killed_run_left(tmp_path: Path) -> None:
    folder = killed_run(tmp_path)
    assert find_marked_processes(folder)
    said: list[str] = []
    remove_orphans(tmp_path, said.append)
    assert not find_marked_processes(tmp_path)
    assert not folder.exists()
    (sentence,) = said
    assert "1 processes" in sentence
    assert folder.name in sentence


@pytest.mark.slow
def test_cleaning_up_spares_a_run_whose_owner_lives(tmp_path: Path) -> None:
    run = cleanup.open_ledger(tmp_path)
    child = idle(run.folder)
    remove_orphans(tmp_path, pytest.fail)
    assert [process.pid for process in find_marked_processes(tmp_path)] == [child.pid]
    run.close()


@pytest.mark.slow
def test_another_run_is_one_of_any_checkout_whose_processes_are_not_ours(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in "abc"]
    for home in homes:
        home.mkdir()
    ours, theirs, kept = map(cleanup.open_ledger, homes)
    own, *_ = [idle(run.folder / "broker") for run in (ours, theirs, kept)]
    kept.kept = True
    kept.save()

    def find(pid: int) -> list[Path]:
        # Other tests run beside this one.
        return [folder for folder in cleanup.find_other_runs(pid) if folder.is_relative_to(tmp_path)]

    assert find(own.pid) == [theirs.folder]
    assert find(os.getpid()) == []  # all descend from this process
    kept.kept = False
    for run in (ours, theirs, kept):
        run.close()
    assert find(own.pid) == []


@pytest.mark.slow
def test_cleaning_up_spares_keep_brokers(tmp_path: Path) -> None:
    run = cleanup.open_ledger(tmp_path)
    child = idle(run.folder)
    run.kept = True
    run.close()
    remove_orphans(tmp_path, pytest.fail)
    assert [process.pid for process in find_marked_processes(tmp_path)] == [child.pid]
    run.clear()


@pytest.mark.slow
def test_cleaning_up_spares_a_process_that_only_has_a_noted_pid(tmp_path: Path) -> None:
    with subprocess.Popen(IDLE) as stranger:
        folder = tmp_path / "run-00000000"
        folder.mkdir()
        broker = {"name": "kafka", "url": "", "provided_by": "native", "version": "", "pids": [stranger.pid]}
        noted = {"kept": False, "projects": [], "brokers": [broker]}
        (folder / "ledger.json").write_text(json.dumps(noted))
        remove_orphans(tmp_path, lambda sentence: None)
        assert not folder.exists()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
def test_cleaning_up_ends_a_process_whose_run_is_gone(tmp_path: Path) -> None:
    child = idle(tmp_path / "run-11111111")
    (tmp_path / "run-11111111" / "log").unlink()
    (tmp_path / "run-11111111").rmdir()
    remove_orphans(tmp_path, pytest.fail)
    assert not psutil.pid_exists(child.pid)


def keep_brokers(home: Path, *names: str) -> cleanup.RunLedger:
    run = cleanup.open_ledger(home)
    run.kept = True
    run.brokers = [Broker(name, "127.0.0.1:1", "native", "") for name in names]
    run.close()
    return run


@pytest.mark.slow
async def test_down_refuses_to_stop_what_several_runs_use_until_the_last_has_ended(tmp_path: Path) -> None:
    run = keep_brokers(tmp_path, "rabbitmq", "kafka")
    child = idle(run.folder)
    users = [cleanup.try_lock(run.folder / cleanup.USERS_LOCK, shared=True) for _ in range(2)]
    for user in users:
        assert user is not None
        with refuses("in-use", "rabbitmq and kafka", kind=InUse):
            await stop_kept_brokers(home=tmp_path, say=pytest.fail)
        assert [process.pid for process in find_marked_processes(tmp_path)] == [child.pid]
        user.close()
    await stop_kept_brokers(home=tmp_path, say=lambda sentence: None)
    assert not find_marked_processes(tmp_path)
    assert not run.folder.exists()


async def test_down_stops_nothing_when_only_some_of_it_is_used(tmp_path: Path) -> None:
    used, unused = keep_brokers(tmp_path, "rabbitmq"), keep_brokers(tmp_path, "kafka")
    user = cleanup.try_lock(used.folder / cleanup.USERS_LOCK, shared=True)
    assert user is not None
    with user, refuses("in-use", "rabbitmq", kind=InUse) as refused:
        await stop_kept_brokers(home=tmp_path, say=pytest.fail)
    assert "kafka" not in str(refused.value)
    assert unused.folder.exists()


@pytest.mark.slow
async def test_a_kept_broker_that_is_silent_is_not_in_use(tmp_path: Path) -> None:
    run = keep_brokers(tmp_path, "kafka")
    idle(run.folder)
    said: list[str] = []
    async with find_existing_brokers(["kafka"], {}, tmp_path, said.append) as found:
        assert found == {}
        assert "does not answer" in said[0]
        await stop_kept_brokers(home=tmp_path, say=said.append)
    assert said[1:] == ["stopped kafka"]


async def test_down_without_up_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    await stop_kept_brokers(home=tmp_path, say=said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("rabbitmq", "amqp://guest:secret@127.0.0.1:1/"),
        ("rabbitmq", "not a url"),
        ("rabbitmq", "amqp://[::1"),
        ("kafka", "127.0.0.1:1"),
        ("kafka", "127.0.0.1:not-a-port"),
    ],
)
async def test_a_given_broker_that_does_not_answer_is_unavailable(name: str, url: str, tmp_path: Path) -> None:
    async with provide_brokers([name], given={name: url}, home=tmp_path, say=pytest.fail) as found:
        broker = found[name]
    assert isinstance(broker, Unavailable)
    assert broker.name == name
    assert URL_VARIABLES[name] in broker.why
    assert "secret" not in broker.why


async def test_kafka_without_jars_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "ENGINES", ())
    async with provide_brokers(["kafka"], given={}, home=tmp_path, say=pytest.fail) as found:
        assert isinstance(found["kafka"], Unavailable)
        assert "make setup" in found["kafka"].why or "apt-get install" in found["kafka"].why


async def test_a_name_that_is_no_broker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rabbitmq and kafka"):
        async with provide_brokers(["nats"], given={}, home=tmp_path, say=pytest.fail):
            pass


async def test_a_secured_broker_whose_keys_are_missing_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "ENGINES", ())
    monkeypatch.setattr(kafka, "unavailable_reason", lambda home: None)
    shutil.rmtree(make_keys(tmp_path / "keys") / "kafka")
    security = Security(("tls",), str(tmp_path / "keys"))
    async with provide_brokers(["kafka"], given={}, home=tmp_path, say=lambda _: None, security=security) as found:
        assert isinstance(found["kafka"], Unavailable)
        assert str(tmp_path / "keys" / "kafka") in found["kafka"].why


def test_compose_publishes_on_loopback_only() -> None:
    published = re.findall(r'^ +- "(\S+:\d+)"$', compose.COMPOSE_FILE.read_text(), re.MULTILINE)
    ports = {"RABBITMQ": 5672, "POSTGRES": 5432, "KAFKA": 9092}
    assert published == [f"127.0.0.1:${{{name}_PORT:-{port}}}:{port}" for name, port in ports.items()]


def test_compose_and_native_kafka_have_the_same_settings() -> None:
    text = compose.COMPOSE_FILE.read_text()
    for key, value in kafka.SERVER_SETTINGS.items():
        assert f'KAFKA_{key.upper().replace(".", "_")}: "{value}"' in text


def test_compose_and_native_rabbitmq_have_the_same_settings() -> None:
    settings = dict(line.split(" = ") for line in rabbitmq.CONFIG.splitlines())
    # The words of rabbitmq.conf, as the server has them in its own environment.
    said = compose.COMPOSE_FILE.read_text()
    for key in ("collect_statistics_interval", "max_message_size"):
        assert f"-rabbit {key} {settings.pop(key)}" in said
    backlog, nodelay = (settings.pop(f"tcp_listen_options.{key}") for key in ("backlog", "nodelay"))
    assert f"-rabbit tcp_listen_options [{{backlog,{backlog}}},{{nodelay,{nodelay}}}]" in said
    assert f"-rabbit disk_free_limit {settings.pop('disk_free_limit.absolute').replace('MB', '000000')}" in said
    assert f"-rabbit vm_memory_high_watermark {settings.pop('vm_memory_high_watermark.relative')}" in said
    assert settings.keys() == {"log.console", "log.file.level"}  # a container's log is its output


def test_compose_names_the_versions_that_native_brokers_have() -> None:
    pom = install.POM_FILE.read_text()
    assert compose.read_image_version("rabbitmq") == "4.3.6"
    assert f"<version>{compose.read_image_version('kafka')}</version>" in pom


@pytest.mark.slow
def test_a_policy_against_servers_is_removed_also_on_failure(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(RuntimeError), install.forbid_server_start(policy):
        assert subprocess.run([policy], check=False).returncode == 101
        raise RuntimeError
    assert not policy.exists()


def test_a_policy_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("theirs")
    with install.forbid_server_start(policy):
        assert policy.read_text() == "theirs"
    assert policy.read_text() == "theirs"


@pytest.mark.slow
def test_a_mark_is_handed_on_to_grandchildren(tmp_path: Path) -> None:
    nested = f"import subprocess; subprocess.run({IDLE!r})"
    spawn([sys.executable, "-c", nested], folder=tmp_path, log=tmp_path / "log")
    assert eventually(lambda: len(find_marked_processes(tmp_path)) == 2)
    assert {process.environ()[MARK_VARIABLE] for process in find_marked_processes(tmp_path)} == {str(tmp_path)}
    stop_processes_below(tmp_path)


@pytest.mark.parametrize(
    ("transports", "needed"),
    [((), False), (("rest",), False), (("rest", "grpc"), False), (("rest", "events"), True), (("no-such",), False)],
)
def test_brokers_are_set_up_for_those_transports_alone_that_need_them(
    transports: tuple[str, ...], needed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []
    monkeypatch.setattr(install, "find_missing_packages", list)
    monkeypatch.setattr(install, "fetch_kafka", fetched.append)
    monkeypatch.setattr(install, "fetch_rabbitmq", lambda home, insist: fetched.append(home) or True)
    install.install_for(transports, tmp_path)
    assert fetched == ([tmp_path, tmp_path] if needed else [])


@pytest.mark.slow
def test_a_port_that_another_process_has_just_chosen_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; from bench.provision.ports import find_free_ports; "
        "print(*find_free_ports(1), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        chosen = int(other.stdout.readline())
        monkeypatch.setattr(ports, "CANDIDATES", range(chosen, chosen + 1))
        with pytest.raises(OSError, match="1 free"):
            find_free_ports(1)
        other.communicate("")
    assert find_free_ports(1) == [chosen]
