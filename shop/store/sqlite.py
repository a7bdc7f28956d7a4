"""A store in a SQLite file with a write-ahead log."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shop.store.base import Decision, Durability, Store, StoreUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quantities (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    kind TEXT NOT NULL, order_id TEXT NOT NULL,
    fact TEXT NOT NULL, amount_cents INTEGER NOT NULL, detail TEXT NOT NULL,
    units INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
    PRIMARY KEY (order_id, kind)) WITHOUT ROWID;
"""
_DECISION = ", ".join(Decision._fields)
_BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for a lock. A chain has no other wait: its order fails when this one is over."""
_PASSING_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary result codes that say something about the file and its disk, and nothing about what was to be stored."""


class SqliteStore(Store):
    blocking = True

    def __init__(self, path: Path, durability: Durability = "fast") -> None:
        """Every commit survives the death of the process. With ``safe`` (synchronous=FULL) it is on the disk when it
        returns; with ``fast`` (NORMAL) at the next checkpoint, so that a crash of the machine may lose the last ones.
        """
        # One worker thread uses the connection at a time, not always the one that opened it.
        self._path = path
        self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'FULL' if durability == 'safe' else 'NORMAL'}")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Raises StoreUnavailable when the file is locked or read-only, or its disk is full or broken."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            begun_ns = time.monotonic_ns()
            self._db.execute("COMMIT")
            self.commit_ns = time.monotonic_ns() - begun_ns
        except BaseException as error:
            if self._db.in_transaction:  # a full disk has rolled back by itself
                with suppress(sqlite3.OperationalError):  # and one that is broken may not even do that
                    self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and _is_passing(error):
                raise StoreUnavailable(f"SQLite cannot write {self._path} for now: {error}") from error
            raise

    def quantity(self, name: str) -> int | None:
        row = self._db.execute("SELECT value FROM quantities WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def set_quantity(self, name: str, value: int) -> None:
        self._db.execute(
            "INSERT INTO quantities VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def find_decision(self, kind: str, order_id: str) -> Decision | None:
        row = self._db.execute(
            f"SELECT {_DECISION} FROM decisions WHERE order_id = ? AND kind = ?",
            (order_id, kind),
        ).fetchone()
        return None if row is None else Decision(*row)

    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None:
        self._db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", (kind, order_id, *decision))

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for order_id, *decision in self._db.execute(f"SELECT order_id, {_DECISION} FROM decisions"):
            yield order_id, Decision(*decision)

    def size_bytes(self) -> int:
        """Returns the size of the file, without its log."""
        return int(
            self._db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
        )

    def close(self) -> None:
        self._db.close()


def _is_passing(error: sqlite3.OperationalError) -> bool:
    """Returns whether the same statement may succeed later; an extended result code has the primary in its low byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING_CODES
