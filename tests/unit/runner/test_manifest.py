"""Tests what a manifest says of the interpreter, and what must stay as it is for a run to go on."""

from typing import Any

import pytest

from bench.runner.manifest import collect_fixed_conditions, list_manifest_caveats

PYTHON = {"version": "3.11.2", "pgo": True, "lto": True, "object_code_ns": 3000}
MANIFEST: dict[str, Any] = {
    "git": {"commit": "abc", "dirty": False},
    "machine": {"cpu_model": "a", "cores": 2, "kernel": "6"},
    "python": PYTHON,
    "versions": {},
    "brokers": {},
    "cells": [],
}


@pytest.mark.parametrize(("pgo", "names"), [(True, []), (False, ["python-not-optimised"])])
def test_a_python_that_is_not_optimised_is_a_doubt(pgo: bool, names: list[str]) -> None:
    found = list_manifest_caveats(MANIFEST | {"python": PYTHON | {"pgo": pgo}})
    assert [caveat.name for caveat in found] == names


@pytest.mark.parametrize(("cores", "names"), [(1, ["one-core"]), (2, [])])
def test_a_machine_with_one_core_is_a_doubt(cores: int, names: list[str]) -> None:
    found = list_manifest_caveats(MANIFEST | {"machine": MANIFEST["machine"] | {"cores": cores}})
    assert [caveat.name for caveat in found] == names


def test_a_run_goes_on_with_the_same_build_of_python_however_fast_it_is_now() -> None:
    conditions = collect_fixed_conditions(MANIFEST)
    assert collect_fixed_conditions(MANIFEST | {"python": PYTHON | {"object_code_ns": 9000}}) == conditions
    other = collect_fixed_conditions(MANIFEST | {"python": PYTHON | {"lto": False}})
    assert [what for what in conditions if conditions[what] != other[what]] == ["build of Python"]


def test_a_run_goes_on_with_the_same_interpreters_and_one_without_any_as_before() -> None:
    conditions = collect_fixed_conditions(MANIFEST | {"interpreters": {"3.11.2": PYTHON}})
    again = {"3.11.2": PYTHON | {"object_code_ns": 9000}}
    assert collect_fixed_conditions(MANIFEST | {"interpreters": again}) == conditions
    other = collect_fixed_conditions(MANIFEST | {"interpreters": {"3.11.2": PYTHON | {"pgo": False}}})
    assert [what for what in conditions if conditions[what] != other[what]] == ["set of interpreters"]
    assert collect_fixed_conditions(MANIFEST) == collect_fixed_conditions(MANIFEST | {"interpreters": {}})
