"""Tests that a setting is declared once: columns, comparison, factors, evidence and docs follow from its entry."""

from pathlib import Path

import msgspec
import pytest

from bench.load.protocol import TrialReport
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.results.analysis import (
    compute_design_effects,
    factor_columns,
    like_columns,
    matching_columns,
    optional_like_columns,
    plain_levels,
)
from bench.results.compare import compare_runs
from bench.results.reference import render_settings
from bench.results.rows import trial_columns
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS
from bench.results.store import RunFolder
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_trial_row
from tests.unit.builders import build_trial


@pytest.fixture
def discount(monkeypatch: pytest.MonkeyPatch) -> str:
    """A setting that no code knows but its entry."""
    spec = SettingSpec(
        name="DISCOUNT",
        key="discount",
        kind="count",
        help="percent off every order",
        default=0,
        role="workload",
        factor=True,
        column="discount_percent",
    )
    monkeypatch.setitem(SETTINGS, spec.name, spec)
    return spec.column


def test_a_setting_declared_once_has_a_column_with_its_value(discount: str) -> None:
    assert trial_columns()[discount] is int
    profile = msgspec.structs.replace(load_profile(settings={"TRANSPORT": "memory"}), extra={"discount": 5})
    (cell,) = expand_cells(profile)
    row = build_trial_row(cell, 1, 1, TrialOutcome(report=TrialReport(trial="t", error="it did not run"))).row()
    assert row[discount] == "5"


def test_a_setting_declared_once_keeps_cells_apart_and_is_a_factor(tmp_path: Path, discount: str) -> None:
    runs = []
    for name, level in (("a", 0), ("b", 5)):
        run = RunFolder.create(tmp_path, name, {"profile": {"durability": "fast"}})
        for round_ in range(1, 7):
            run.add_trial(build_trial(round=round_, cell="grpc", transport="grpc", **{discount: 0}), {})
            run.add_trial(build_trial(round=round_, wire_bytes_per_order=100.0, **{discount: level}), {})
            run.add_trial(build_trial(round=round_, cell="rest@10", wire_bytes_per_order=90.0, **{discount: 10}), {})
        runs.append(run)
    assert compare_runs(*runs).left_out["rest"] == f"{discount} is 0 in A and 5 in B"
    effects = compute_design_effects(runs[0].trials())
    assert set(effects[effects["transport"] == "rest"]["factor"]) == {discount}
    assert plain_levels()[discount] == 0
    assert discount in like_columns()
    assert "| `DISCOUNT` | `--discount` | `discount` | count |  | `0` | yes | `discount_percent` | percent off" in (
        render_settings()
    )


def test_factors_are_the_settings_that_a_block_may_vary_and_the_method() -> None:
    assert set(factor_columns()) == {"transport", *(spec.column for spec in SETTINGS.values() if spec.factor)}
    assert len(factor_columns()) == len(set(factor_columns()))


def test_cells_are_alike_where_the_same_is_asked_and_promised() -> None:
    assert set(like_columns()) >= {
        *("durability", "store", "security", "processes", "fault"),
        *("offered_per_s", "arrivals", "order_bytes", "shape", "compressible"),
    }
    assert set(optional_like_columns()) >= {"retries", "keep_alive_s"}
    assert not {"product", "client", "codec", "compression"} & {*like_columns(), *optional_like_columns()}


def test_two_cells_are_one_where_all_settings_agree() -> None:
    assert set(matching_columns()) >= {
        *("transport", "product", "client", "codec", "compression", "shape", "compressible", "order_bytes"),
        *("arrivals", "rate_per_s", "security", "store", "durability", "processes", "retries", "keep_alive_s", "fault"),
    }


def test_a_question_says_nothing_of_what_is_at_its_default() -> None:
    assert (
        plain_levels().items()
        >= {
            "fault": "none",
            "compression": "none",
            "compressible": 1.0,
            "processes": 1,
            "retries": 0,
            "keep_alive_s": 0.0,
        }.items()
    )
    assert not plain_levels().keys() & {"arrivals", "durability", "order_bytes", "product", "client", "store"}
