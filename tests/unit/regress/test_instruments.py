"""What a replay reads while it runs."""

import os
import socket

import pytest

from bench.regress.instruments import Calls, read_tcp_bytes
from bench.regress.tools import find_call_counter


def test_bytes_of_connections_are_those_that_were_sent_and_received() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = read_tcp_bytes()
        with socket.create_connection(listening.getsockname()) as near, listening.accept()[0] as far:
            opened = read_tcp_bytes()
            near.sendall(b"x" * 1000)
            assert len(far.recv(2000)) == 1000
            used = read_tcp_bytes()
        closed = read_tcp_bytes()
    assert len(opened.keys() - before.keys()) == 2
    assert opened.keys() == used.keys()
    assert sorted(tuple(after - start for after, start in zip(used[one], opened[one], strict=True)) for one in opened)[
        -2:
    ] == [(0, 1000), (1000, 0)]
    assert closed.keys() == before.keys()


def test_without_a_tool_no_call_is_counted() -> None:
    calls = Calls("", "/nowhere")
    calls.begin()
    assert calls.end() is None


@pytest.mark.slow
@pytest.mark.skipif(find_call_counter().name != "tracepoint", reason="the kernel lets root alone count calls")
def test_the_kernel_counts_the_calls_between_begin_and_end() -> None:
    counted = []
    for more in (0, 100):
        calls = Calls("tracepoint", "/nowhere")
        calls.begin()
        for _ in range(more):
            os.getppid()
        found = calls.end()
        assert found is not None
        counted.append(found)
    assert counted[1] - counted[0] == 100
