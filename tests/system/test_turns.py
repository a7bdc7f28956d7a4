"""Tests that arms are played in turns on real services."""

from pathlib import Path

import pandas as pd
import pytest

from bench.calibration.turns.play import play

pytestmark = pytest.mark.slow


async def test_every_arm_has_the_same_orders_in_each_slice(tmp_path: Path) -> None:
    await play({"a": {"method": "grpc"}, "b": {"method": "grpc"}}, 2, 0.2, "grpc", tmp_path / "slices.csv")
    rows = pd.read_csv(tmp_path / "slices.csv")
    assert sorted(zip(rows["slice"], rows["arm"], strict=True)) == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert (rows.groupby("slice")["orders"].nunique() == 1).all()
    assert (rows[["orders", "p50_us", "services_cpu_us", "driver_cpu_us"]] > 0).all(axis=None)
    assert rows["broker_cpu_us"].isna().all()
