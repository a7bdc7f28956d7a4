"""Provides the interpreters with which the services of a run are started."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import MissingServer
from bench.profile.interpreters import OWN
from bench.profile.schema import CellSettings
from bench.provision.base import Say, Unavailable
from bench.provision.interpreters import Interpreter, provide_interpreters
from bench.provision.services import OWN_PYTHON
from bench.runner.environment import RunPaths

Pythons = Mapping[str, Interpreter | Unavailable]
"""By name; the harness's own is none of them."""


async def provide_pythons(
    cells: Sequence[CellSettings], paths: RunPaths, say: Say, *, all_needed: bool = False
) -> Pythons:
    """Makes the environments of the cells' interpreters that are not there yet; one that cannot be had is left out.

    Raises MissingServer where fewer than two of several are left, or not the only one, or not ``all_needed``.
    """
    levels = tuple(dict.fromkeys(cell.profile.interpreter for cell in cells))
    names = [name for name in levels if name != OWN]
    found = await provide_interpreters(names, home=paths.home, checkout=paths.checkout, say=say)
    missing = [one for one in found.values() if isinstance(one, Unavailable)]
    left = [name for name in levels if name not in {one.name for one in missing}]
    reasons = "; ".join(f"{one.name}: {one.why}" for one in missing)
    if missing and (all_needed or len(levels) == 1):
        raise MissingServer(f"services cannot run with {reasons}", code="no-interpreter")
    if missing and len(left) < 2:
        raise MissingServer(
            f"interpreters are compared where there are two, and {f'{left[0]} alone' if left else 'none'} is left "
            f"({reasons})",
            code="too-few-interpreters",
        )
    for one in missing:
        say(f"Python {one.name} is left out: {one.why}")
    return found


def list_programs(pythons: Pythons) -> dict[str, Path]:
    """Returns by name what services are started with, the harness's own among them."""
    there = {name: one.python for name, one in pythons.items() if isinstance(one, Interpreter)}
    return {OWN: OWN_PYTHON, **there}


def find_missing_cells(cells: Sequence[CellSettings], pythons: Pythons) -> dict[str, str]:
    """Returns by name the cells whose interpreter cannot be had, and why."""
    return {
        cell.name: one.why for cell in cells if isinstance(one := pythons.get(cell.profile.interpreter), Unavailable)
    }


def describe_pythons(pythons: Pythons) -> dict[str, dict[str, object]]:
    """Returns what the manifest says of each interpreter that is measured."""
    return {name: dict(one.facts) for name, one in pythons.items() if isinstance(one, Interpreter)}
