"""The database of a service behind one interface: in memory or a SQLite file."""

from shop.store.base import MAX_DETAIL_CHARS, Decision, Durability, Store, StoreUnavailable
from shop.store.memory import MemoryStore
from shop.store.sqlite import SqliteStore

__all__ = [
    "MAX_DETAIL_CHARS",
    "Decision",
    "Durability",
    "MemoryStore",
    "SqliteStore",
    "Store",
    "StoreUnavailable",
]
