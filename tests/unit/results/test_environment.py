"""Tests the recorded description of the machine."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.results.environment import describe_machine, measure_fsync_us, read_git_state, read_machine, read_versions


def test_the_fingerprint_says_what_decides_the_numbers(tmp_path: Path) -> None:
    found = read_machine(tmp_path)
    assert found["cores"] == os.cpu_count()
    assert found["kernel"] == os.uname().release
    assert found["congestion_control"] == Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    assert found["fsync_us"] > 0
    assert json.loads(json.dumps(found)) == found


def test_the_fsync_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    measure_fsync_us(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_one_cannot_write_there_is_no_fsync_price(tmp_path: Path) -> None:
    assert measure_fsync_us(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"cores": 8, "cores_usable": 2, "cpu_model": "a made-up one"}, "2 cores (a made-up one)"),
        ({"cores": 1, "cpu_model": None}, "1 core (of an unknown kind)"),
        ({}, "a machine that was not noted"),
    ],
)
def test_a_machine_is_told_in_words(found: dict[str, Any], words: str) -> None:
    assert describe_machine(found) == words


def test_versions_name_python_and_the_libraries() -> None:
    assert {"python", "grpcio", "aiohttp", "aio-pika", "aiokafka"} <= read_versions().keys()


@pytest.mark.slow
def test_a_changed_tree_is_dirty(tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    run("init")
    (tmp_path / "file").write_text("one")
    run("add", "file")
    run("commit", "-m", "one")
    assert read_git_state(tmp_path)["dirty"] is False
    (tmp_path / "file").write_text("two")
    found = read_git_state(tmp_path)
    assert found["dirty"] is True
    assert len(found["commit"]) == 40


@pytest.mark.slow
def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert read_git_state(tmp_path) == {"commit": None, "dirty": None}
