"""Tests which Python is taken for .venv, and what is known of the one that runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.paths import ROOT
from bench.provision import pythons
from bench.provision.doctor import check_interpreter
from bench.provision.pythons import (
    Python,
    describe_choice,
    find_candidates,
    is_link_optimised,
    is_profiled,
    measure_object_code_ns,
    probe,
    rank,
    read_interpreter,
    read_supported,
)

SCRIPT = ROOT / "bench" / "provision" / "pythons.py"


def a_python(version: tuple[int, ...], *, pgo: bool = True, lto: bool = True, **changes: Any) -> Python:
    path = f"/pythons/{'.'.join(map(str, version))}{'' if pgo else '-plain'}"
    return Python(
        **{"path": path, "version": version, "pgo": pgo, "lto": lto, "supported": True, "unusable": ""} | changes
    )


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (a_python((3, 11, 2)), a_python((3, 13, 0), pgo=False)),
        (a_python((3, 13, 0)), a_python((3, 12, 9))),
        (a_python((3, 12, 1)), a_python((3, 15, 0), supported=False)),
        (a_python((3, 11, 2), pgo=False), a_python((3, 13, 0), unusable="it has no ensurepip")),
        (a_python((3, 12, 1)), a_python((3, 12, 1), lto=False)),
        (a_python((3, 11, 7), pgo=False), a_python((3, 11, 2), pgo=False)),
        (a_python((3, 11, 2), pgo=False), a_python((3, 10, 9), unusable="3.11 or newer is needed")),
    ],
)
def test_the_best_is_usable_then_supported_then_optimised_then_new(better: Python, worse: Python) -> None:
    assert rank([worse, better]) == rank([better, worse]) == [better, worse]


@pytest.mark.parametrize(
    ("arguments", "flags", "pgo", "lto"),
    [
        ("'--enable-optimizations' '--with-lto'", "", True, True),
        ("'--enable-optimizations' '--with-lto=thin'", "", True, True),
        ("'--enable-optimizations' '--with-lto=no'", "", True, False),
        ("'--enable-shared'", "-O3 -fprofile-use -fprofile-correction", True, False),
        ("", "-O2 -flto -fuse-linker-plugin", False, True),
        ("'--enable-shared' '--prefix=/usr'", "-O3 -Wall", False, False),
    ],
)
def test_a_build_is_told_by_its_arguments_and_flags(arguments: str, flags: str, pgo: bool, lto: bool) -> None:
    assert (is_profiled(arguments, flags), is_link_optimised(arguments, flags)) == (pgo, lto)


def test_a_package_of_the_distribution_is_optimised_though_its_flags_do_not_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pythons, "_is_debian_package", lambda executable: True)
    found = read_interpreter()
    assert (found["pgo"], found["lto"], found["known_from"]) == (True, True, "distribution")


def test_what_is_known_of_this_interpreter_can_be_kept() -> None:
    found = read_interpreter()
    assert found["version"] == sys.version.split()[0]
    assert json.loads(json.dumps(found)) == found


def test_the_benchmark_of_object_code_is_a_positive_number_of_ns() -> None:
    assert 100 < measure_object_code_ns() < 10_000_000


def test_the_supported_versions_are_those_of_the_classifiers() -> None:
    assert (3, 11) in read_supported(ROOT / "pyproject.toml")
    assert read_supported(ROOT / "pyproject.toml") == sorted(read_supported(ROOT / "pyproject.toml"))


def test_candidates_are_named_like_a_python_can_be_run_and_are_no_shims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    binary = Path(sys.executable).resolve()
    places = [tmp_path / "path", tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin"]
    for place, name in zip(places, ("python3.13", "python3"), strict=True):
        place.mkdir(parents=True)
        (place / name).write_bytes(b"\x7fELF")
        (place / name).chmod(0o755)
    (places[0] / "python3").write_text("#!/bin/sh\n")
    (places[0] / "python3").chmod(0o755)
    (places[0] / "python3.12").write_bytes(b"\x7fELF")  # not executable
    (places[0] / "python3-config").symlink_to(binary)
    (places[0] / "python3.11").symlink_to(binary)
    found = find_candidates(str(places[0]), tmp_path)
    assert [file for file in found if file.is_relative_to(tmp_path)] == [
        places[0] / "python3.13",
        places[1] / "python3",
    ]
    assert found.count(pythons.find_base_executable()) == 1


@pytest.mark.slow
def test_what_does_not_answer_is_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho no json\n")
    broken.chmod(0o755)
    (found,) = probe([broken, Path(sys.executable)], [sys.version_info[:2]])
    assert found.path == str(pythons.find_base_executable())
    assert found.version == sys.version_info[:3]
    assert found.supported


def test_the_choice_says_why_and_what_was_not_taken() -> None:
    said = "\n".join(describe_choice([a_python((3, 11, 2)), a_python((3, 13, 0), pgo=False)]))
    assert "/pythons/3.11.2" in said
    assert "/pythons/3.13.0-plain" in said


def test_where_none_can_be_used_the_code_says_so() -> None:
    said = describe_choice([a_python((3, 11, 2), unusable="it has no ensurepip: type `…`")])
    assert "[no-python]" in said[0]
    assert "ensurepip" in said[1]


@pytest.mark.slow
def test_the_script_prints_a_path_alone_on_its_output() -> None:
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], capture_output=True, text=True, check=True)
    (path,) = done.stdout.splitlines()
    assert os.access(path, os.X_OK)
    assert path in done.stderr


HERE = {"version": "3.11.7", "pgo": False, "lto": False}


@pytest.mark.parametrize(
    ("here", "ranked", "state", "named"),
    [
        (HERE | {"pgo": True}, [], "ok", ""),
        (HERE, [a_python((3, 12, 4))], "note", "PYTHON=/pythons/3.12.4"),
        (HERE, [a_python((3, 11, 7), pgo=False)], "note", ""),
        (HERE, [a_python((3, 12, 4), unusable="it has no venv")], "note", ""),
    ],
)
def test_doctor_names_a_better_one(here: dict[str, Any], ranked: list[Python], state: str, named: str) -> None:
    finding = check_interpreter(here, ranked)
    assert finding.state == state
    assert ("PYTHON=" in finding.detail) == bool(named)
    assert named in finding.detail
