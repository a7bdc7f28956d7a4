"""When versions of the servers came out, and how far a server is behind the newest one that is known here.

Nothing is asked of a network, so the table grows old itself: AS_OF says when somebody looked last.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

AS_OF = date(2026, 11, 29)
OLD_DAYS = 365
"""further behind the newest known version, a server is old"""

# The day on which a version was announced or, where that is not at hand, came to Debian or to Maven Central.
RELEASES: Mapping[str, Mapping[str, date]] = {
    "rabbitmq": {
        "3.8.0": date(2019, 10, 1),
        "3.9.0": date(2021, 7, 23),
        "3.10.0": date(2022, 5, 3),
        "3.10.8": date(2022, 9, 28),
        "3.10.25": date(2023, 7, 18),
        "3.11.0": date(2022, 9, 26),
        "3.11.28": date(2023, 12, 21),
        "3.12.0": date(2023, 6, 1),
        "3.12.14": date(2024, 5, 5),
        "3.13.0": date(2024, 2, 22),
        "3.13.7": date(2024, 8, 26),
        "4.0.1": date(2024, 9, 18),
        "4.0.5": date(2024, 12, 17),
        "4.0.9": date(2025, 4, 14),
        "4.1.0": date(2025, 4, 15),
        "4.1.8": date(2026, 1, 21),
        "4.2.0": date(2025, 10, 27),
        "4.2.5": date(2026, 3, 16),
        "4.3.0": date(2026, 4, 30),
        "4.3.2": date(2026, 6, 16),
        "4.3.6": date(2026, 10, 6),
    },
    "erlang": {
        "25.0": date(2022, 5, 17),
        "25.2.3": date(2023, 2, 17),
        "26.0": date(2023, 5, 15),
        "27.0": date(2024, 5, 17),
        "27.3": date(2025, 3, 11),
        "27.3.4": date(2025, 5, 9),
        "29.0.2": date(2026, 6, 12),
        "29.1.1": date(2026, 9, 23),
    },
    "kafka": {
        "3.0.0": date(2021, 9, 20),
        "3.1.0": date(2022, 1, 21),
        "3.2.0": date(2022, 5, 9),
        "3.3.0": date(2022, 9, 28),
        "3.4.0": date(2023, 2, 6),
        "3.5.0": date(2023, 6, 13),
        "3.6.0": date(2023, 10, 3),
        "3.9.0": date(2024, 11, 6),
        "4.0.0": date(2025, 3, 18),
        "4.3.0": date(2026, 5, 13),
        "4.4.0": date(2026, 11, 7),
    },
    # Its announcements. Of a release after August 2026 nothing was at hand.
    "postgres": {
        "13.0": date(2020, 9, 24),
        "14.0": date(2021, 9, 30),
        "14.20": date(2025, 11, 13),
        "14.24": date(2026, 8, 13),
        "15.0": date(2022, 10, 13),
        "15.13": date(2025, 5, 8),
        "15.14": date(2025, 8, 14),
        "15.15": date(2025, 11, 13),
        "15.16": date(2026, 2, 12),
        "15.17": date(2026, 2, 26),
        "15.18": date(2026, 5, 14),
        "15.19": date(2026, 8, 13),
        "16.0": date(2023, 9, 14),
        "16.9": date(2025, 5, 8),
        "16.11": date(2025, 11, 13),
        "16.13": date(2026, 2, 26),
        "16.14": date(2026, 5, 14),
        "16.15": date(2026, 8, 13),
        "17.0": date(2024, 9, 26),
        "17.5": date(2025, 5, 8),
        "17.7": date(2025, 11, 13),
        "17.9": date(2026, 2, 26),
        "17.10": date(2026, 5, 14),
        "17.11": date(2026, 8, 13),
        "18.0": date(2025, 9, 25),
        "18.1": date(2025, 11, 13),
        "18.2": date(2026, 2, 12),
        "18.3": date(2026, 2, 26),
        "18.4": date(2026, 5, 14),
        "18.6": date(2026, 8, 13),
    },
}


_MAJOR_SERIES = ("erlang", "postgres")
"""Products that count a series by the first number alone."""


@dataclass(frozen=True, slots=True)
class VersionAge:
    """How old a version is, against the newest that is known."""

    released: date | None
    """of this very version; None when the table does not have it"""
    newest_known: str
    how_old_days: int | None
    """From its release to that of the newest known version; 0 for that one and for a newer one. A version that the
    table does not have counts from the newest one below it of the same series; None when there is none."""

    @property
    def is_old(self) -> bool:
        return self.how_old_days is not None and self.how_old_days > OLD_DAYS


def find_age(product: str, version: str) -> VersionAge | None:
    """Return how old a version of rabbitmq, erlang, kafka or postgres is.

    None for another product or an unreadable version.
    """
    releases = RELEASES.get(product)
    try:
        wanted = _parse(version)
    except ValueError:
        return None
    if releases is None:
        return None
    newest = max(releases, key=_parse)
    if wanted >= _parse(newest):
        return VersionAge(releases.get(version), newest, 0)
    series = 1 if product in _MAJOR_SERIES else 2
    below = [known for known in releases if _parse(known) <= wanted and _parse(known)[:series] == wanted[:series]]
    since = releases[max(below, key=_parse)] if below else None
    behind = None if since is None else (releases[newest] - since).days
    return VersionAge(releases.get(version), newest, behind)


def describe_age(product: str, version: str) -> str:
    """Return when a version came out and how far behind the newest known one it is, for a person to read."""
    age = find_age(product, version)
    if age is None or age.how_old_days is None:
        return "its age is not known"
    released = f"of {age.released:%d %B %Y}, " if age.released else ""
    if not age.how_old_days:
        return f"{released}the newest that is known on {AS_OF:%d %B %Y}"
    return f"{released}{age.how_old_days} days behind {age.newest_known}"


def _parse(version: str) -> tuple[int, ...]:
    """Raises ValueError."""
    return tuple(int(part) for part in version.split("."))
