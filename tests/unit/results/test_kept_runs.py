"""Tests that the kept runs, which older schemas wrote, are summarised to the numbers that were kept with them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.results.lookup import find_reference_runs
from bench.results.migrate import RENAMED_COLUMNS
from bench.results.store import RunFolder

pytestmark = pytest.mark.reference

NAMES = {old: new for table in RENAMED_COLUMNS.values() for old, new in table.items()}
EXPECTED_CHANGES = {"schema_version"}
EFFECT_KEYS = ("transport", "client", "factor", "level", "base", "context", "metric", "kind")
"""Which effect a row is; since the run `outage` was kept, durability has become a factor that brings further rows."""


def read_summary(content: dict[str, Any]) -> dict[str, Any]:
    """Returns a summary whose effects are found by what they are of."""
    effects = {" ".join(row[key] for key in EFFECT_KEYS): row for row in content.get("effects", ())}
    return {**content, "effects": effects} if effects else content


def find_differences(kept: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yields what the kept summary has and the new one has otherwise, as far as the kept one goes."""
    if isinstance(kept, dict) and isinstance(now, dict):
        for key, value in kept.items():
            name = NAMES.get(key, key)
            if name not in now:
                yield f"{path}/{name} is missing"
            elif name not in EXPECTED_CHANGES:
                yield from find_differences(value, now[name], f"{path}/{name}")
    elif isinstance(kept, list) and isinstance(now, list) and len(kept) == len(now):
        for number, pair in enumerate(zip(kept, now, strict=True)):
            yield from find_differences(*pair, f"{path}/{number}")
    elif not is_same(kept, now):
        yield f"{path} was {kept!r} and is {now!r}"


def is_same(kept: Any, now: Any) -> bool:
    if isinstance(kept, float) and isinstance(now, float):
        return math.isclose(kept, now, rel_tol=1e-9)
    return bool(kept == now)


@pytest.mark.parametrize("folder", find_reference_runs().values(), ids=find_reference_runs().keys())
def test_the_summary_of_a_kept_run_is_what_it_was(folder: Path) -> None:
    kept = read_summary(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
    now = read_summary(json.loads(json.dumps(RunFolder.open(folder).summary())))
    assert list(find_differences(kept, now)) == []
    assert len(kept["cells"]) > 0
    # A report's numbers name an effect by its place.
    assert [key for key in now.get("effects", ()) if key in kept["effects"]] == list(kept.get("effects", ()))
