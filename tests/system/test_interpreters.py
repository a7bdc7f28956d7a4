"""Tests that the services of a cell run with the Python that it names."""

import re
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.errors import ExitCode
from bench.paths import STATE
from bench.provision.interpreters import find_interpreters
from tests.system.command_line import SHORT_RUN, CommandLine

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

PATIENCE_S = 1200
"""Two environments take some minutes where other tests run beside."""


def find_services(house: CommandLine) -> dict[tuple[int, int], set[str]]:
    """Returns by round and slot the programs of the services that run, told by the log that each writes to."""
    found: dict[tuple[int, int], set[str]] = {}
    for process in house.find_module_processes("bench.provision.service_main"):
        with suppress(OSError, psutil.Error):
            log = re.search(r"r(\d+)s(\d+)-\w+\.log", str(Path(f"/proc/{process.pid}/fd/2").readlink()))
            if log:
                found.setdefault((int(log[1]), int(log[2])), set()).add(process.exe())
    return found


def test_a_study_measures_each_cell_with_its_interpreter(tmp_path: Path) -> None:
    """Its first run takes minutes: the environments are made, and kept in the state of the checkout."""
    names = list(find_interpreters())[:2]
    if len(names) < 2:
        pytest.skip("it needs two usable Pythons: install another one")
    (STATE / "python").mkdir(parents=True, exist_ok=True)
    house = CommandLine(tmp_path, {})
    (house.home / "python").symlink_to(STATE / "python")
    command = house.fourways("study", "PROFILE=python", "TRANSPORT=rest", f"INTERPRETER={','.join(names)}", *SHORT_RUN)
    seen: dict[tuple[int, int], set[str]] = {}
    give_up = time.monotonic() + PATIENCE_S
    with house.started(command) as study:
        while study.poll() is None:
            assert time.monotonic() < give_up, "it did not end"
            for trial, programs in find_services(house).items():
                seen.setdefault(trial, set()).update(programs)
            time.sleep(0.05)
        said = study.stdout.read() if study.stdout else ""
    assert study.returncode in (ExitCode.OK, ExitCode.DOUBTFUL), said
    run = house.open_latest_run()
    trials = run.trials()
    assert sorted(trials["interpreter"]) == sorted(names)
    assert list(trials["cell"]) == [f"rest@{name}" for name in names]
    expected = {
        (row["round"], row["slot"]): {find_interpreters()[row["interpreter"]].path} for row in trials.to_dict("records")
    }
    assert seen == expected
    facts = run.manifest["interpreters"]
    assert {name: facts[name]["version"] + ("+pgo" if facts[name]["pgo"] else "") for name in facts} == {
        name: name for name in names
    }
    assert house.left() == []
