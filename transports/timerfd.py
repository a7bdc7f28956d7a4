"""Opens a Linux timerfd: a file that is ready to read from an instant of CLOCK_MONOTONIC on, exact to microseconds.

The timers of asyncio and uvloop have a grain of a millisecond.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_NS = 1_000_000_000

SetTimer = Callable[[int], object]
"""Sets a timer to an instant in nanoseconds, 0 for never; that also clears what makes its file ready."""


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


def open_timerfd() -> tuple[int, SetTimer]:
    """Returns a timer's file, which the caller closes, and how to set it. Raises OSError where there is none."""
    new: Any = os
    if hasattr(new, "timerfd_create"):  # Python 3.13
        own = new.timerfd_create(_CLOCK_MONOTONIC, flags=_TFD_NONBLOCK | _TFD_CLOEXEC)
        return own, lambda deadline_ns: new.timerfd_settime_ns(own, flags=_TFD_TIMER_ABSTIME, initial=deadline_ns)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "timerfd_create"):
        raise OSError("this system has no timerfd")
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    spec = _Itimerspec()
    value, pointer, settime = spec.it_value, ctypes.byref(spec), libc.timerfd_settime

    def set_to(deadline_ns: int) -> None:
        value.tv_sec, value.tv_nsec = divmod(deadline_ns, _NS)
        settime(fd, _TFD_TIMER_ABSTIME, pointer, None)

    return fd, set_to
