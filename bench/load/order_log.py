"""Writes every order of the window to a CSV file, to let others compute percentiles."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.results.durable_files import drop_partial_line

ORDER_LOG_COLUMNS = ("number", "status", "planned_ns", "sent_ns", "accepted_ns", "finished_ns")
"""``status`` is finished, failed, unfinished or not_sent. Instants are CLOCK_MONOTONIC's, empty where there is none."""
_BUFFER_BYTES = 2**20

WriteOrder = Callable[[int, str, int, int, int, int], None]
"""Takes what COLUMNS name, 0 for an instant that there is not."""


@contextmanager
def open_order_log(path: Path, *, goes_on: bool = False) -> Iterator[WriteOrder]:
    """Opens a CSV file and yields a function that appends one order; nothing is kept in memory. Raises OSError.

    ``goes_on``: another process has written the orders before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if goes_on:
        drop_partial_line(path)
    with path.open("a" if goes_on else "w", encoding="ascii", buffering=_BUFFER_BYTES) as file:
        if not file.tell():
            file.write(",".join(ORDER_LOG_COLUMNS) + "\n")
        write_out = file.write

        def write(number: int, status: str, planned_ns: int, sent_ns: int, accepted_ns: int, finished_ns: int) -> None:
            write_out(f"{number},{status},{planned_ns},{sent_ns or ''},{accepted_ns or ''},{finished_ns or ''}\n")

        yield write
