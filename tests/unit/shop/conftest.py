"""A fixture with an empty store, once in memory and once in SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop.store import MemoryStore, SqliteStore, Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store in memory or in SQLite."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.sqlite")
    yield made
    made.close()
