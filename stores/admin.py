"""Creates and drops databases on a PostgreSQL server, and reads the server's version. Every function blocks."""

from collections.abc import Iterable

import psycopg
from psycopg import sql

from shop.store import StoreUnavailable
from stores.urls import hide_password

_CONNECT_TIMEOUT_S = 5


def read_version(url: str) -> str | None:
    """Returns the version of the server at ``url``, such as 15.18; None when it does not answer or refuses us."""
    try:
        with _connect(url) as server:
            row = server.execute("SHOW server_version").fetchone()
    except psycopg.Error:
        return None
    return str(row[0]).partition(" ")[0] if row else ""


def explain_refusal(url: str) -> str:
    """Returns why nobody gets into the server at ``url``, in its own words or the library's; empty when one does."""
    try:
        with _connect(url):
            return ""
    except psycopg.Error as error:
        return _first_line(error)


def create_databases(url: str, names: Iterable[str]) -> None:
    """Creates empty databases of these names. Raises StoreUnavailable, with the server's own words."""
    _execute_for_each(url, sql.SQL("CREATE DATABASE {}"), names, "does not create a database")


def drop_databases(url: str, names: Iterable[str]) -> None:
    """Drops these databases, whoever uses them. A missing one is no error. Raises StoreUnavailable."""
    _execute_for_each(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), names, "does not drop a database")


def _connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)


def _execute_for_each(url: str, statement: sql.SQL, names: Iterable[str], complaint: str) -> None:
    try:
        with _connect(url) as server:
            for name in names:
                server.execute(statement.format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL at {hide_password(url)} {complaint}: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
