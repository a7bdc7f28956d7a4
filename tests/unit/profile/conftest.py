"""Stands for the Pythons of a machine."""

from collections.abc import Callable

import pytest

from bench.profile import interpreters

HERE = ("3.11.2+pgo", "3.11.7", "3.12.1", "3.13.0+pgo")

Pythons = Callable[..., None]


@pytest.fixture
def pythons(monkeypatch: pytest.MonkeyPatch) -> Pythons:
    """Makes these the usable interpreters, HERE until others are given."""

    def use(*names: str) -> None:
        monkeypatch.setattr(interpreters, "find_interpreters", lambda: dict.fromkeys(names))

    use(*HERE)
    return use
