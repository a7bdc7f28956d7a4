"""A store in a SQLite file with a write-ahead log."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shop.store.base import Decision, Durability, Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quantities (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    kind TEXT NOT NULL, order_id TEXT NOT NULL,
    fact TEXT NOT NULL, amount_cents INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (order_id, kind)) WITHOUT ROWID;
"""


class SqliteStore(Store):
    blocking = True

    def __init__(self, path: Path, durability: Durability = "fast") -> None:
        """With ``safe`` a commit is on the disk when it returns (synchronous=FULL), else at the next checkpoint."""
        # One worker thread uses the connection at a time, not always the one that opened it.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'FULL' if durability == 'safe' else 'NORMAL'}")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            begun_ns = time.monotonic_ns()
            self._db.execute("COMMIT")
            self.commit_ns = time.monotonic_ns() - begun_ns
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled back by itself
                self._db.execute("ROLLBACK")
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
            "SELECT fact, amount_cents, detail FROM decisions WHERE order_id = ? AND kind = ?",
            (order_id, kind),
        ).fetchone()
        return None if row is None else Decision(*row)

    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None:
        self._db.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)",
            (kind, order_id, decision.fact, decision.amount_cents, decision.detail),
        )

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        rows = self._db.execute("SELECT order_id, fact, amount_cents, detail FROM decisions")
        for order_id, fact, amount_cents, detail in rows:
            yield order_id, Decision(fact, amount_cents, detail)

    def close(self) -> None:
        self._db.close()
