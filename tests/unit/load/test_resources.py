"""Tests CPU, memory, context-switch and byte counts of real processes and sockets."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from bench.load import resources as cost
from bench.load.resources import (
    ConnectionBytes,
    ProcessCounters,
    ResourceSnapshot,
    compute_usage,
    count_closed_connections,
    count_wire_bytes,
    cpu_ns,
    find_process_tree,
    read_connection_bytes,
    read_snapshot,
)
from bench.results.caveats import check_wire_count

pytestmark = pytest.mark.slow


@contextmanager
def a_child(code: str = "input()") -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_cpu_time_is_the_processs_own_to_the_microsecond() -> None:
    before_ns = time.process_time_ns()
    found_ns = cpu_ns(os.getpid())
    assert before_ns <= found_ns <= time.process_time_ns()


def test_the_difference_of_two_readings_is_the_cpu_that_was_burnt() -> None:
    code = "import time\ninput()\nuntil = time.process_time() + 0.05\nwhile time.process_time() < until: pass\n"
    with a_child(f"print(flush=True)\n{code}print(flush=True)\ninput()") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        before = read_snapshot([child.pid])
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        found = compute_usage(before, read_snapshot([child.pid]))
    assert 50e6 <= found.cpu_ns <= 80e6
    assert found.cpu_us_per_order(10) == pytest.approx(found.cpu_ns / 1e4)


def test_memory_is_what_psutil_says() -> None:
    with a_child("print(flush=True); input()") as child:
        assert child.stdout is not None
        child.stdout.readline()
        mine = read_snapshot([child.pid]).processes[child.pid]
        rss_kib = psutil.Process(child.pid).memory_info().rss / 1024
    assert mine.rss_kib == pytest.approx(rss_kib, rel=0.05)
    assert mine.peak_rss_kib >= mine.rss_kib


def test_context_switches_are_counted_in_all_threads() -> None:
    code = (
        "import sys, threading\n"
        "ask, tell = threading.Event(), threading.Event()\n"
        "def other():\n"
        "    while ask.wait(): ask.clear(); tell.set()\n"
        "threading.Thread(target=other, daemon=True).start()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(200): ask.set(); tell.wait(); tell.clear()\n"
        "print('done', flush=True); sys.stdin.readline()\n"
    )
    with a_child(code) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        before = read_snapshot([child.pid])
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        after = read_snapshot([child.pid])
    assert len(after.processes[child.pid].context_switches) == 2
    assert compute_usage(before, after).context_switches >= 300


def test_a_process_that_died_in_between_is_named() -> None:
    with a_child() as child:
        before = read_snapshot([child.pid, os.getpid()])
        child.kill()
        child.wait()
        found = compute_usage(before, read_snapshot([child.pid, os.getpid()]))
    assert found.died == (child.pid,)
    assert found.rss_mib > 0


def test_a_process_that_ended_and_was_not_waited_for_has_died() -> None:
    with a_child() as child:
        before = read_snapshot([child.pid])
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert compute_usage(before, read_snapshot([child.pid])).died == (child.pid,)


def test_the_family_of_a_process_includes_its_children() -> None:
    with a_child() as child:
        assert {os.getpid(), child.pid} <= set(find_process_tree(os.getpid()))
    assert find_process_tree(child.pid) == ()


BURNS_IN_A_CHILD = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.3: pass\\n"
for line in sys.stdin:
    with subprocess.Popen([sys.executable, "-c", burn + ("input()" if line == "stay\\n" else "")]) as child:
        print(child.pid, flush=True)
        if line == "stay\\n":
            sys.stdin.readline()
            child.kill()
    print("ended", flush=True)
"""


def ask(child: subprocess.Popen[bytes], line: str) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{line}\n".encode())
    child.stdin.flush()
    return child.stdout.readline().decode().strip()


def test_a_child_that_came_and_went_counts_for_its_parent() -> None:
    with a_child(BURNS_IN_A_CHILD) as parent:
        before = read_snapshot([parent.pid])
        ask(parent, "go")
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ended\n"
        found = compute_usage(before, read_snapshot([parent.pid]))
    assert 280e6 <= found.cpu_ns <= 900e6
    assert found.died == ()


def test_a_child_that_lives_counts_for_its_parent_and_only_once() -> None:
    with a_child(BURNS_IN_A_CHILD) as parent:
        before = read_snapshot([parent.pid])
        pid = int(ask(parent, "stay"))
        while cpu_ns(pid) < 0.3e9:
            time.sleep(0.01)
        both = read_snapshot([parent.pid, pid])
        found = compute_usage(before, read_snapshot([parent.pid]))
        alone = read_snapshot([pid]).processes[pid]
        assert 300e6 <= found.cpu_ns <= 900e6
        assert both.processes[pid].cpu_ns == both.processes[pid].rss_kib == 0
        assert both.processes[parent.pid].rss_kib > alone.rss_kib > 0
        assert ask(parent, "end") == "ended"


def test_idle_burn_is_taken_off_by_the_second() -> None:
    before = ResourceSnapshot(0, {1: ProcessCounters(0, 1024, 2048, {1: 5})})
    found = compute_usage(
        before, ResourceSnapshot(2_000_000_000, {1: ProcessCounters(100_000_000, 1024, 2048, {1: 9, 2: 3})})
    )
    assert found.cpu_ms_per_s == 50
    assert found.cpu_us_per_order(100) == 1000
    assert found.cpu_us_per_order(100, idle_ms_per_s=12.5) == 750
    assert (found.rss_mib, found.peak_rss_mib, found.context_switches) == (1, 2, 7)


def test_without_orders_there_is_no_cpu_per_order() -> None:
    assert compute_usage(ResourceSnapshot(0), ResourceSnapshot(1)).cpu_us_per_order(0) is None


async def test_an_idle_process_burns_almost_nothing() -> None:
    with a_child("print('ready', flush=True); input()") as child:
        assert child.stdout is not None
        await asyncio.to_thread(child.stdout.readline)
        assert (await cost.measure_idle_usage([child.pid], 0.02)).cpu_ms_per_s < 100


def test_bytes_on_the_wire_are_those_that_were_sent_both_ways_and_counted_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours, server.accept()[0] as theirs:
            before = read_connection_bytes([port])
            ours.sendall(b"x" * 5000)
            theirs.recv(5000, socket.MSG_WAITALL)
            theirs.sendall(b"y" * 300)
            ours.recv(300, socket.MSG_WAITALL)
            after = read_connection_bytes([port])
    assert before is not None
    assert after is not None
    assert len(after.connections) == 1
    assert count_wire_bytes(before, after) == 5300


def test_a_connection_closed_in_between_is_counted_as_such() -> None:
    assert count_closed_connections(ConnectionBytes({("a", "b"): 5}, 1), ConnectionBytes({("c", "d"): 7}, 2)) == 1


@pytest.mark.parametrize(("accepted", "counted"), [(10, 0), (11, 11)])
def test_as_few_as_the_harness_itself_opens_are_left_out(accepted: int, counted: int) -> None:
    after = ConnectionBytes({}, opened=accepted, at_ns=1_000_000_000)
    assert count_closed_connections(ConnectionBytes({}), after) == counted


def test_connections_that_came_and_went_in_between_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        before = read_connection_bytes([port])
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as served:
                client.send(b"gone")
                served.recv(9)
        after = read_connection_bytes([port])
    assert before is not None
    assert after is not None
    assert count_closed_connections(before, after) >= 20  # other programs may accept some as well
    assert count_wire_bytes(ConnectionBytes({("a", "b"): 5}), ConnectionBytes({("c", "d"): 7})) == 7


@pytest.mark.parametrize(
    ("carried_bytes", "closed_count", "names"), [(9, 0, []), (9, 2, ["connections-closed"]), (None, 0, ["no-wire"])]
)
def test_bytes_that_were_not_counted_are_a_doubt(
    carried_bytes: int | None, closed_count: int, names: list[str]
) -> None:
    assert [caveat.name for caveat in check_wire_count(carried_bytes, closed_count)] == names


def test_without_ss_there_is_no_answer_rather_than_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert read_connection_bytes([8000]) is None
    assert read_connection_bytes([]) == ConnectionBytes({})


def test_trap_9_names_the_clock_that_getcpuclockid_gives() -> None:
    assert re.fullmatch(r"-\d+", str((~os.getpid() << 3) | 2))
    assert abs(cpu_ns(os.getpid()) - time.process_time_ns()) < 5e6
