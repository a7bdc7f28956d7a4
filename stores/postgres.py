"""A store in a database of a PostgreSQL server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from shop.store import Decision, Durability, Store, StoreUnavailable
from stores.urls import hide_password

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quantities (name text PRIMARY KEY, value bigint NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
    kind text NOT NULL, order_id text NOT NULL,
    fact text NOT NULL, amount_cents bigint NOT NULL, detail text NOT NULL,
    units bigint NOT NULL, fingerprint bigint NOT NULL,
    PRIMARY KEY (order_id, kind));
"""
_DECISION = "fact, amount_cents, detail, units, fingerprint"
_LOCK = "SELECT pg_advisory_xact_lock(1)"
_BEGIN = f"BEGIN; {_LOCK}, txid_current()"
"""One writer at a time, as in SQLite: what a handler has read stays true until it has written. By the transaction's
number the server can be asked what became of it."""
_CONNECT_TIMEOUT_S = 10
_PATIENCE = "-c lock_timeout=5s -c statement_timeout=10s"
"""How long a statement waits for a lock, as SQLite's busy timeout does, and for anything; then the error is passing."""
_SILENCE_MS = 10_000
"""How long the server may leave what was sent unacknowledged before the connection counts as lost."""
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class PostgresStore(Store):
    """Text may hold no NUL character, which PostgreSQL does not keep: it is stored as the replacement character."""

    blocking = True

    def __init__(self, url: str, durability: Durability = "fast") -> None:
        """With ``safe`` a commit is on the server's disk when it returns. With ``fast`` (synchronous_commit=off) the
        server writes it within 0.6 s: it survives the service's death, and not always that of the server.

        Raises StoreUnavailable.
        """
        self._url = url
        self._options = f"-c synchronous_commit={'on' if durability == 'safe' else 'off'} {_PATIENCE}"
        self._db = self._connect()
        with self.transaction():  # or two processes would both create what neither has found
            self._db.execute(_SCHEMA, prepare=False)

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=0,  # every statement comes a thousand times
                options=self._options,
                connect_timeout=_CONNECT_TIMEOUT_S,
                tcp_user_timeout=_SILENCE_MS,
            )
        except psycopg.OperationalError as error:
            raise StoreUnavailable(
                f"PostgreSQL does not answer at {hide_password(self._url)}: {_first_line(error)}"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Raises StoreUnavailable when the server is away, full, locked or read-only."""
        if self._db.closed:
            self._db = self._connect()
        try:
            begun = self._db.execute(_BEGIN, prepare=False)
            begun.nextset()
            _, number = begun.fetchone() or (None, None)
            yield
            begun_ns = time.monotonic_ns()
            self._commit(number)
            self.commit_ns = time.monotonic_ns() - begun_ns
        except BaseException as error:
            with suppress(psycopg.Error):  # of a connection that is lost the server rolls back
                self._db.execute("ROLLBACK", prepare=False)
            if _is_passing(error):
                raise StoreUnavailable(
                    f"PostgreSQL at {hide_password(self._url)} does not store for now: {_first_line(error)}"
                ) from error
            raise

    def _commit(self, number: int | None) -> None:
        """Commits; when the answer is lost with the connection, the server is asked over another one.

        A commit that was done and counts as failed would be answered as a repeat when its message comes again, and be
        in no tally.
        """
        try:
            self._db.execute("COMMIT", prepare=False)
        except _LOST:
            self._db.close()
            self._db = self._connect()
            if not self._was_committed(number):
                raise

    def _was_committed(self, number: int | None) -> bool:
        with suppress(psycopg.errors.InvalidParameterValue), self._db.transaction():  # after a crash of the server
            self._db.execute(_LOCK, prepare=False)  # the transaction has it for as long as it is in progress
            row = self._db.execute("SELECT txid_status(%s)", (number,), prepare=False).fetchone()
            return row == ("committed",)
        return False

    def quantity(self, name: str) -> int | None:
        row = self._db.execute("SELECT value FROM quantities WHERE name = %s", (_clean(name),)).fetchone()
        return None if row is None else int(row[0])

    def set_quantity(self, name: str, value: int) -> None:
        self._db.execute(
            "INSERT INTO quantities VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_clean(name), value),
        )

    def find_decision(self, kind: str, order_id: str) -> Decision | None:
        row = self._db.execute(
            f"SELECT {_DECISION} FROM decisions WHERE order_id = %s AND kind = %s", (_clean(order_id), kind)
        ).fetchone()
        return None if row is None else Decision(*row)

    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None:
        self._db.execute(
            "INSERT INTO decisions VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (kind, _clean(order_id), *decision._replace(detail=_clean(decision.detail))),
        )

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for order_id, *decision in self._db.execute(f"SELECT order_id, {_DECISION} FROM decisions"):
            yield order_id, Decision(*decision)

    def size_bytes(self) -> int:
        """Returns the size of the database on the server's disk, what every empty database holds among it."""
        row = self._db.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._db.close()


def _clean(text: str) -> str:
    """Returns the text as PostgreSQL keeps it, which takes no NUL."""
    return text.replace("\0", "\ufffd")


_LIMIT_EXCEEDED = "54"
"""The class of SQLSTATE for what is too large for any database, an index row among it: psycopg has it among
OperationalError, and no waiting changes it."""
_PASSING = (*_LOST, psycopg.errors.ReadOnlySqlTransaction)


def _is_passing(error: BaseException) -> bool:
    """Returns whether the same statement may succeed later: the error is of the server, and not of what was stored."""
    return isinstance(error, _PASSING) and not (getattr(error, "sqlstate", None) or "").startswith(_LIMIT_EXCEEDED)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
