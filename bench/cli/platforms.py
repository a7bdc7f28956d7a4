"""Refuses a platform that measurements cannot be made on, in a sentence and before anything starts."""

import os
import platform
import sys
from pathlib import Path

from bench.errors import UsageError

OLDEST_PYTHON = (3, 11)


def require_linux() -> None:
    """Raises UsageError where there is no Linux: /proc, sched_getaffinity and timerfd are what costs are read with."""
    if not sys.platform.startswith("linux") or not Path("/proc/self/stat").exists():
        raise UsageError(
            f"Fourways needs Linux with /proc, and this is {platform.system() or sys.platform}: measure in a Linux "
            "machine or container",
            code="no-linux",
        )
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError("this Python has no os.sched_getaffinity; take CPython 3.11 or newer", code="no-linux")
