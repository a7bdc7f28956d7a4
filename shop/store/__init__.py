"""A database per service behind one small interface: in memory, or a SQLite file."""

from shop.store.base import DETAIL, Decision, Durability, Store
from shop.store.memory import MemoryStore
from shop.store.sqlite import SqliteStore

__all__ = ["DETAIL", "Decision", "Durability", "MemoryStore", "SqliteStore", "Store"]
