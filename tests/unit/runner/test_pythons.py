"""Tests which interpreters a run goes on with, and when it is refused."""

from pathlib import Path

import pytest

from bench.errors import ExitCode, MissingServer
from bench.profile.matrix import expand_cells
from bench.profile.resolve import resolve
from bench.profile.schema import CellSettings
from bench.provision.base import Unavailable
from bench.provision.interpreters import Interpreter
from bench.provision.services import OWN_PYTHON
from bench.runner import pythons
from bench.runner.environment import RunPaths
from bench.runner.pythons import describe_pythons, find_missing_cells, list_programs, provide_pythons
from tests.conftest import refuses

FACTS = {"version": "3.12.1", "object_code_ns": 3000}


def a_cell(interpreter: str) -> CellSettings:
    (cell,) = expand_cells(resolve(interpreter, {"transports": ["rest"], "interpreter": interpreter}))
    return cell.at_rate(150, f"rest@{interpreter}")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A machine on which the packages of every interpreter of 3.13 cannot be installed."""

    async def provide(names: list[str], **_: object) -> pythons.Pythons:
        return {
            name: Unavailable(name, "no wheel")
            if name.startswith("3.13")
            else Interpreter(name, Path(f"/environments/{name}/bin/python"), FACTS)
            for name in names
        }

    monkeypatch.setattr(pythons, "provide_interpreters", provide)
    return RunPaths(checkout=tmp_path, home=tmp_path, results=tmp_path, given={})


async def provide(paths: RunPaths, *names: str, said: list[str] | None = None) -> pythons.Pythons:
    return await provide_pythons(list(map(a_cell, names)), paths, ([] if said is None else said).append)


async def test_one_that_cannot_be_had_is_left_out_with_its_reason(paths: RunPaths) -> None:
    said: list[str] = []
    names = ("3.11.7", "3.12.1", "3.13.0")
    found = await provide(paths, *names, said=said)
    (sentence,) = said
    assert "3.13.0" in sentence
    assert "no wheel" in sentence
    assert find_missing_cells(list(map(a_cell, names)), found) == {"rest@3.13.0": "no wheel"}
    assert list(describe_pythons(found)) == ["3.11.7", "3.12.1"]


async def test_each_has_its_own_program_and_the_harnesss_own_stays(paths: RunPaths) -> None:
    found = await provide(paths, "own", "3.12.1")
    assert list_programs(found) == {"own": OWN_PYTHON, "3.12.1": Path("/environments/3.12.1/bin/python")}
    assert describe_pythons(found) == {"3.12.1": FACTS}


async def test_the_harnesss_own_counts_as_one_of_two(paths: RunPaths) -> None:
    assert list_programs(await provide(paths, "own", "3.12.1", "3.13.0")).keys() == {"own", "3.12.1"}


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("3.12.1", "3.13.0"), "too-few-interpreters"),
        (("own", "3.13.0"), "too-few-interpreters"),
        (("3.13.0", "3.13.1+pgo"), "too-few-interpreters"),
        (("3.13.0",), "no-interpreter"),
    ],
)
async def test_fewer_than_two_of_several_are_refused(paths: RunPaths, names: tuple[str, ...], code: str) -> None:
    with refuses(code, "no wheel", kind=MissingServer) as refused:
        await provide(paths, *names)
    assert getattr(refused.value, "exit_code", None) is ExitCode.MISSING


async def test_where_all_are_needed_one_that_cannot_be_had_is_refused(paths: RunPaths) -> None:
    cells = list(map(a_cell, ("3.11.7", "3.12.1", "3.13.0")))
    with refuses("no-interpreter", kind=MissingServer):
        await provide_pythons(cells, paths, lambda _: None, all_needed=True)
