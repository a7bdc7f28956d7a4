"""What the programs that count have written is read, and what is not whole is refused."""

import pytest

from bench.regress.tools import parse_callgrind, parse_strace

STRACE = """\
7 openat(AT_FDCWD, "x", O_RDONLY) = 3
7 newfstatat(AT_FDCWD, "/m-begin", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
7 read(3, "a", 1) = 1
8 epoll_wait(4,  <unfinished ...>
7 write(3, "a", 1) = 1
8 <... epoll_wait resumed>[], 1, 5) = 0
7 --- SIGCHLD {si_signo=SIGCHLD} ---
8 +++ exited with 0 +++
7 newfstatat(AT_FDCWD, "/m-end", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
7 close(3) = 0
7 newfstatat(AT_FDCWD, "/m-begin", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
7 getpid() = 7
7 newfstatat(AT_FDCWD, "/m-end", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
"""


def test_strace_counts_the_calls_between_its_marks() -> None:
    assert parse_strace(STRACE, "/m") == [3, 1]


@pytest.mark.parametrize("text", ["", "7 getpid() = 7\n", STRACE.rpartition("7 newfstatat")[0]])
def test_a_file_of_strace_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole"):
        parse_strace(text, "/m")


@pytest.mark.parametrize("word", ["summary", "totals"])
def test_callgrind_has_one_sum(word: str) -> None:
    assert parse_callgrind(f"version: 1\nevents: Ir\n{word}: 152331234\n\nfn=(1) main\n") == 152331234


def test_a_file_of_callgrind_without_a_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="callgrind"):
        parse_callgrind("version: 1\nevents: Ir\n")
