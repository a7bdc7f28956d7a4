"""Keeps the collector from pausing a load process in the middle of a measurement."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_gc(*, disable: bool) -> Iterator[None]:
    """Freezes what is alive now; with ``disable`` nothing is collected until the end either.

    Without an end in sight collection stays on, as cycles would add up.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    if disable:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.unfreeze()
