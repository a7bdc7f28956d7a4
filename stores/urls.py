"""URLs of PostgreSQL: a database of a server, and how to show one."""

from urllib.parse import quote, urlsplit, urlunsplit


def name_database(url: str, name: str) -> str:
    """Returns the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name, safe='')}"))


def hide_password(url: str) -> str:
    """Returns the URL without user, password and parameters."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
