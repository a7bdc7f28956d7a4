"""Tests PostgreSQL as a store: its server, its databases, and the services over it."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from bench.errors import StartFailed
from bench.provision import cleanup, postgres
from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import provide_brokers
from bench.provision.ports import find_free_ports
from bench.provision.process import find_marked_processes, stop_processes_below
from bench.provision.services import run_services
from shop.messages import PlaceOrder, StockReserved
from shop.payments import PaymentService
from shop.service import Conflict
from shop.store import Decision, Store, StoreUnavailable
from shop.workflow import SERVICES
from stores import admin
from stores.postgres import PostgresStore
from stores.urls import name_database
from tests.conftest import build_order
from transports.base import Setting
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
OpenStore = Callable[[str], Store]


@pytest.fixture
def store(open_postgres: OpenStore) -> Store:
    return open_postgres("payment")


# The store


def test_decisions_and_quantities_are_kept(store: Store) -> None:
    decision = Decision("payment-taken", 910, "PAY-1", 2, -(2**63))
    with store.transaction():
        store.set_quantity("taken", 1)
        store.set_quantity("taken", 910)
        store.save_decision("stock-reserved", "order-1", decision)
    assert store.quantity("taken") == 910
    assert store.quantity("other") is None
    assert store.find_decision("stock-reserved", "order-1") == decision
    assert store.find_decision("stock-reserved", "order-2") is None
    assert list(store.decisions()) == [("order-1", decision)]
    assert store.commit_ns > 0
    assert store.size_bytes() > 1_000_000


def test_an_exception_leaves_nothing_of_a_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.set_quantity("taken", 1)
        raise ZeroDivisionError
    assert store.quantity("taken") is None


def test_text_that_postgresql_does_not_keep_is_no_error(store: Store) -> None:
    payment = PaymentService(store)
    asked = StockReserved(build_order("nul \0"), 910)
    assert payment.handle(asked) == payment.handle(asked)
    assert payment.repeated == 1


@pytest.mark.parametrize(("durability", "said"), [("fast", "off"), ("safe", "on")])
def test_safe_waits_for_the_disk_and_fast_does_not(store: Store, durability, said: str) -> None:
    other = PostgresStore(store._url, durability)
    assert other._db.execute("SHOW synchronous_commit").fetchone() == (said,)
    other.close()
    other.close()


def test_what_was_committed_survives_the_services_process(store: Store) -> None:
    before = PaymentService(store)
    before.handle(StockReserved(build_order(), 910))
    store.close()
    after = PaymentService(PostgresStore(store._url))
    assert (after.audit(), after.balance()) == (before.audit(), {"taken_cents": 910})
    with pytest.raises(Conflict):
        after.handle(StockReserved(build_order(lines=()), 910))
    after.store.close()


def test_two_processes_of_a_service_decide_one_after_the_other(store: Store) -> None:
    other = PostgresStore(store._url)
    other._db.execute("SET lock_timeout = '200ms'")
    with store.transaction(), pytest.raises(StoreUnavailable, match=r"now: .*lock timeout"), other.transaction():
        pass
    with other.transaction():
        other.set_quantity("taken", 1)
    other.close()


def test_a_connection_that_was_lost_is_opened_again(store: Store, postgres_server: Broker) -> None:
    payment = PaymentService(store)
    payment.handle(StockReserved(build_order("a"), 1))
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (store._url.rpartition("/")[2],),
        )
    with pytest.raises(StoreUnavailable, match="does not store for now"):
        payment.handle(StockReserved(build_order("b"), 1))
    payment.handle(StockReserved(build_order("b"), 1))
    assert payment.audit()["payment-taken"].count == 2
    assert payment.balance() == {"taken_cents": 2}


class LosesCommit:
    """A connection that is closed at the first COMMIT: when the server has it, or before."""

    def __init__(self, store: PostgresStore, *, sent: bool) -> None:
        self._db, self._sent = store._db, sent

    def execute(self, query: str, *args: Any, **how: Any) -> Any:
        if query != "COMMIT":
            return self._db.execute(query, *args, **how)
        if self._sent:
            self._db.execute(query, *args, **how)
        self._db.close()
        raise psycopg.OperationalError("the connection is lost")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def test_a_commit_whose_answer_is_lost_is_counted_and_its_message_answered_once(store: PostgresStore) -> None:
    payment = PaymentService(store)
    store._db = LosesCommit(store, sent=True)
    asked = StockReserved(build_order(), 910)
    answer = payment.handle(asked)
    assert (payment.audit()["payment-taken"].count, payment.repeated) == (1, 0)
    assert payment.balance() == {"taken_cents": 910}
    assert payment.handle(asked) == answer
    assert (payment.audit()["payment-taken"].count, payment.repeated) == (1, 1)


def test_a_commit_that_was_lost_on_its_way_has_no_effect_and_may_come_again(store: PostgresStore) -> None:
    payment = PaymentService(store)
    store._db = LosesCommit(store, sent=False)
    asked = StockReserved(build_order(), 910)
    with pytest.raises(StoreUnavailable):
        payment.handle(asked)
    assert not payment.audit()
    payment.handle(asked)
    assert (payment.audit()["payment-taken"].count, payment.repeated) == (1, 0)
    assert payment.balance() == {"taken_cents": 910}


def test_a_lost_commit_of_a_server_that_has_gone_too_is_a_passing_error(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = find_free_ports(1)
    payment = PaymentService(store)
    store._db = LosesCommit(store, sent=True)
    with monkeypatch.context() as away, pytest.raises(StoreUnavailable):
        away.setattr(store, "_url", f"postgresql://127.0.0.1:{port}/postgres")
        payment.handle(StockReserved(build_order(), 910))
    payment.handle(StockReserved(build_order(), 910))
    assert payment.balance() == {"taken_cents": 910}


def test_a_number_that_the_server_never_gave_was_not_committed(store: PostgresStore) -> None:
    assert not store._was_committed(2**40)


def test_a_server_that_may_only_be_read_for_now_is_a_passing_error(store: Store) -> None:
    payment = PaymentService(store)
    store._db.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        payment.handle(StockReserved(build_order(), 1))
    store._db.execute("SET default_transaction_read_only = off")
    payment.handle(StockReserved(build_order(), 1))
    assert payment.audit()["payment-taken"].count == 1


def test_an_order_id_that_no_index_can_hold_is_of_the_message_and_does_not_pass(store: Store) -> None:
    order_id = secrets.token_hex(8_000)  # which cannot be compressed below a third of a page
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        PaymentService(store).handle(StockReserved(build_order(order_id), 1))


def test_a_server_that_is_not_there_is_a_sentence_without_a_password() -> None:
    (port,) = find_free_ports(1)
    url = f"postgresql://fourways:secret@127.0.0.1:{port}/postgres"
    with pytest.raises(StoreUnavailable, match=f"does not answer at postgresql://127.0.0.1:{port}/postgres: ") as told:
        PostgresStore(url)
    assert "secret" not in str(told.value)
    with pytest.raises(StoreUnavailable, match="does not create a database"):
        admin.create_databases(url, ["any"])
    assert admin.read_version(url) is None


# The server


async def test_a_server_listens_on_loopback_as_an_account_without_rights_and_takes_no_one_without_a_password(
    postgres_server: Broker,
) -> None:
    if postgres_server.provided_by != "native":
        pytest.skip("it was given")
    process = psutil.Process(postgres_server.pids[0])
    listening = {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN and c.laddr}
    assert listening == {"127.0.0.1"}
    assert process.username() != "root"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_server.url.replace(":", ":not", 2).replace("postgresql:not", "postgresql:"))
    assert postgres_server.url.split("@")[0].split(":")[-1] not in " ".join(process.cmdline())


async def test_a_run_that_was_killed_leaves_no_server(tmp_path: Path) -> None:
    run = cleanup.open_ledger(tmp_path)
    folder = run.folder / "postgres"
    folder.mkdir()
    server = await postgres.start(folder)
    outside = postgres.outside_folder(run.folder)
    assert outside.exists() != (folder / "data").exists()
    assert run.lock is not None
    run.lock.close()  # as the kernel does for a process that was killed
    cleanup.remove_orphans(tmp_path, lambda _: None)
    assert not psutil.pid_exists(server.pids[0])
    assert not find_marked_processes(tmp_path)
    assert not outside.exists()
    assert not run.folder.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In a run's folder; what is left of it is ended and removed."""
    made = tmp_path / f"run-{secrets.token_hex(4)}" / "postgres"
    made.mkdir(parents=True)
    yield made
    stop_processes_below(tmp_path)
    shutil.rmtree(postgres.outside_folder(made.parent), ignore_errors=True)


async def test_a_taken_port_is_a_sentence_with_a_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setattr(postgres, "find_free_ports", lambda count: [port])
        with pytest.raises(StartFailed, match="while starting: could not create any TCP") as told:
            await postgres.start(folder)
    assert told.value.code == "ended-while-starting"
    assert not find_marked_processes(folder)


async def test_a_missing_server_is_a_sentence_that_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "find_programs", lambda: None)
    async with provide_brokers(["postgres"], given={}, home=tmp_path, say=lambda _: None) as found:
        assert found["postgres"] == Unavailable("postgres", postgres.NOT_INSTALLED)
    with pytest.raises(StartFailed) as told:
        await postgres.start(tmp_path)
    assert told.value.code == "postgres-missing"


@pytest.fixture
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MiB where every account may go."""
    small = Path(tempfile.mkdtemp())
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", small], check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("nothing can be mounted here")
    yield small
    stop_processes_below(folder)
    subprocess.run(["umount", small], check=True)
    small.rmdir()


async def test_a_full_disk_is_a_sentence_with_a_code(
    folder: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_is_reachable", lambda path: False)
    monkeypatch.setattr(postgres, "outside_folder", lambda run_folder: full_disk / "data-folder")
    with pytest.raises(StartFailed, match="No space left on device") as told:
        await postgres.start(folder)
    assert told.value.code == "initdb-failed"


async def test_a_server_given_by_url_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    given = {"postgres": "postgresql://fourways:secret@127.0.0.1:1/postgres"}
    async with provide_brokers(["postgres"], given=given, home=tmp_path, say=lambda _: None) as found:
        server = found["postgres"]
        assert isinstance(server, Unavailable)
        assert "POSTGRES_URL" in server.why
        assert "secret" not in server.why


# The services


async def test_services_over_postgres_ship_and_know_their_books_again_after_a_kill(
    tmp_path: Path, postgres_server: Broker
) -> None:
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(4), strict=True)}
    setting = Setting(trial=f"fw-{secrets.token_hex(4)}", addresses=addresses)
    transport = load_transport("rest")(setting)
    async with postgres.provide_databases(postgres_server, setting.trial, SERVICES) as databases:
        assert set(databases) == set(SERVICES)
        async with (
            run_services(
                "rest", setting, folder=tmp_path, logs=tmp_path / "logs", store_folder=None, databases=databases
            ) as running,
            transport.connect() as client,
        ):
            for number in range(5):
                finished = await (await client.submit(PlaceOrder(build_order(f"o{number}")))).finished
                assert finished.outcome.status == "shipped"
            before = await running["payment"].audit()
            assert before["tallies"]["payment-taken"]["units"] == 10
            await running["payment"].kill()
            await running["payment"].start()
            after = await running["payment"].audit()
            assert (after["tallies"], after["balance"]) == (before["tallies"], before["balance"])
        with psycopg.connect(databases["payment"]) as own:
            assert own.execute("SELECT count(*), sum(units) FROM decisions").fetchone() == (5, 10)
    left = _databases(postgres_server)
    assert not [name for name in left if name.startswith(setting.trial)]


async def test_a_database_that_cannot_be_made_is_a_sentence_with_a_code(postgres_server: Broker) -> None:
    gone = Broker("postgres", name_database(postgres_server.url, "there-is-no-such"), "given", "")
    with pytest.raises(StartFailed) as told:
        async with postgres.provide_databases(gone, "fw-any", SERVICES):
            pytest.fail("made")
    assert told.value.code == "database-not-created"


def _databases(server: Broker) -> Mapping[str, None]:
    with psycopg.connect(server.url) as asked:
        return {name: None for (name,) in asked.execute("SELECT datname FROM pg_database")}


def test_a_lock_that_another_holds_is_a_passing_error(open_postgres: Callable[[str], Store]) -> None:
    store = open_postgres("payment")
    with psycopg.connect(store._url, autocommit=False) as other:  # type: ignore[attr-defined]
        other.execute("SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(StoreUnavailable), store.transaction():
            pass
    with store.transaction():
        store.set_quantity("free", 1)
    assert store.quantity("free") == 1
