"""Instruments that a replay reads while it runs: callgrind, the kernel's count of system calls, bytes of connections.

It imports the standard library alone: a replay loads it by its path, beside the packages of an arm.
"""

import contextlib
import ctypes
import mmap
import os
import platform
import socket
import stat
import struct
from pathlib import Path
from typing import ClassVar

CALLGRIND, TRACEPOINT, STRACE = "callgrind", "tracepoint", "strace"


def read_tcp_bytes() -> dict[int, tuple[int, int]]:
    """Returns for each TCP connection of this process, by inode, the bytes that it has sent and received."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a path object for each would be counted as ours
        with contextlib.suppress(OSError, ValueError):
            inode = os.fstat(int(name)).st_ino
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type & socket.SOCK_STREAM == 0:
                    continue
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                # struct tcp_info of linux/tcp.h: bytes received, bytes sent, bytes sent again.
                (received,), (sent, again) = struct.unpack_from("=Q", info, 128), struct.unpack_from("=QQ", info, 200)
                found[inode] = (sent - again, received)
    return found


class Valgrind:
    """Speaks to the callgrind in which this process runs, by client requests (valgrind.h); on x86-64 alone."""

    ZERO, DUMP, START, STOP = (0x43540000 + number for number in (1, 0, 4, 5))
    _RUNNING = 0x1001
    _CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
    """mov rax, rdi; xor edx, edx; the magic rotations of rdi; xchg rbx, rbx; mov rax, rdx; ret"""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(self._CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        if not self.request(self._RUNNING):
            raise RuntimeError("this process does not run in valgrind")

    def request(self, number: int) -> int:
        """Makes a request; returns its answer."""
        arguments = (ctypes.c_uint64 * 6)(number)
        return int(self._function(ctypes.addressof(arguments)))


class Tracepoint:
    """Counts the system calls of this process and of the threads that it starts, by perf_event_open(2).

    Raises OSError where the kernel does not let us, which mostly lets root alone.
    """

    _EVENT = "events/raw_syscalls/sys_enter/id"
    _FOLDERS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
    _CALL_NUMBERS: ClassVar[dict[str, int]] = {"x86_64": 298, "aarch64": 241}
    _TYPE_TRACEPOINT = 2
    _DISABLED, _INHERIT = 1, 2
    _ENABLE, _DISABLE = 0x2400, 0x2401

    def __init__(self) -> None:
        if (number := self._CALL_NUMBERS.get(platform.machine())) is None:
            raise OSError(f"the number of perf_event_open is not known on {platform.machine()}")
        folder = next((one for one in self._FOLDERS if (one / self._EVENT).is_file()), self._FOLDERS[0])
        event = int((folder / self._EVENT).read_text("ascii"))
        size = 112
        attributes = bytearray(size)  # struct perf_event_attr of linux/perf_event.h
        struct.pack_into("=IIQ", attributes, 0, self._TYPE_TRACEPOINT, size, event)
        struct.pack_into("=Q", attributes, 40, self._DISABLED | self._INHERIT)
        self._libc = ctypes.CDLL(None, use_errno=True)
        given = (ctypes.c_char * size).from_buffer(attributes)
        self._file: int = self._libc.syscall(number, ctypes.byref(given), 0, -1, -1, 0)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "the kernel does not let us count system calls")

    def close(self) -> None:
        os.close(self._file)

    def turn_on(self) -> None:
        self._libc.ioctl(self._file, self._ENABLE, 0)

    def turn_off(self) -> None:
        self._libc.ioctl(self._file, self._DISABLE, 0)

    def read(self) -> int:
        """Returns the calls that were made while it was on."""
        return int.from_bytes(os.read(self._file, 8), "little")


class Calls:
    """Counts system calls between ``begin`` and ``end``, with the tool that is named; with none it counts nothing."""

    def __init__(self, tool: str, marker: str) -> None:
        """``marker`` is a path that does not exist, by which strace's output shows where counting begins and ends."""
        self._tracepoint = Tracepoint() if tool == TRACEPOINT else None
        self._marker = marker if tool == STRACE else ""
        self._before = 0

    def begin(self) -> None:
        if self._tracepoint is not None:
            self._before = self._tracepoint.read()
            self._tracepoint.turn_on()
        self._mark("begin")

    def end(self) -> int | None:
        """Returns the calls since ``begin``; None where another program has them, or nobody."""
        self._mark("end")
        if self._tracepoint is None:
            return None
        self._tracepoint.turn_off()
        return self._tracepoint.read() - self._before

    def _mark(self, word: str) -> None:
        if self._marker:
            with contextlib.suppress(OSError):
                os.stat(f"{self._marker}-{word}")  # noqa: PTH116 - one system call with a name that strace shows
