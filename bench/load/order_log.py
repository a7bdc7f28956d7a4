"""Every order of the window on disk as it ends, for whoever wants to compute the percentiles with code of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COLUMNS = ("number", "status", "planned_ns", "sent_ns", "accepted_ns", "finished_ns")
"""``status`` is finished, failed, unfinished or not_sent. Instants are CLOCK_MONOTONIC's, empty where there is none."""
_BUFFER_BYTES = 2**20

Write = Callable[[int, str, int, int, int, int], None]
"""Takes what COLUMNS name, 0 for an instant that there is not."""


@contextmanager
def raw_file(path: Path) -> Iterator[Write]:
    """A CSV that grows while the context lasts; nothing of it is kept in memory. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", buffering=_BUFFER_BYTES) as file:
        file.write(",".join(COLUMNS) + "\n")
        write_out = file.write

        def write(number: int, status: str, planned_ns: int, sent_ns: int, accepted_ns: int, finished_ns: int) -> None:
            write_out(f"{number},{status},{planned_ns},{sent_ns or ''},{accepted_ns or ''},{finished_ns or ''}\n")

        yield write
