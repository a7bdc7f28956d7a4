"""Shows latencies on Locust's page in microseconds, where its own table has whole milliseconds."""

from collections.abc import Mapping
from typing import Any

from bench.load.recorder import Histogram

KEY = "microseconds"
TAB = {"title": "Microseconds", "key": KEY}
PERCENT_COLUMNS = {"p50_us": 50, "p90_us": 90, "p99_us": 99, "p999_us": 99.9, "max_us": 100}
COLUMNS = ("name", "orders", *PERCENT_COLUMNS)


def build_rows(entries: Mapping[tuple[str, str], Any]) -> list[dict[str, Any]]:
    """Returns a row for each of Locust's entries, by column."""
    rows = []
    for (name, method), entry in entries.items():
        histogram = Histogram()
        for value_ms, count in entry.response_times.items():
            histogram.record(round(value_ms * 1000), count)
        values = {column: histogram.percentile_us(percent) for column, percent in PERCENT_COLUMNS.items()}
        label = f"{name} {method}"
        rows.append({"name": label, "safe_name": label, "orders": entry.num_requests, **values})
    return rows
