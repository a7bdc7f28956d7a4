"""Builds the ``stats`` message for Locust's own page from the latencies that we record.

Locust's worker rounds to whole milliseconds; its master takes any number, so microseconds arrive as float
milliseconds. Results are not taken from here but from the trial's report.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.load.recorder import DriverRecord, Histogram
from bench.load.sets.session import ShownSlice

STAGES = ("accept", "finish")


class LocustStats:
    """Builds Locust's ``stats`` message from what was counted since the last call."""

    def __init__(self, name: str, clock: Any = time.time) -> None:
        """``name`` is the transport's, or in a set the cell's."""
        self._name = f"{name}/order"
        self._clock = clock
        self._start_s = clock()
        self._failures: dict[str, int] = {}

    def message(self, record: DriverRecord | None, users: Mapping[str, int]) -> dict[str, Any]:
        """Returns the message. ``users`` is how many run here, by class."""
        message: dict[str, Any] = {
            "stats": [],
            "stats_total": self._entry("Aggregated", "", {}, 0),
            "errors": {},
            "user_classes_count": dict(users),
            "user_count": sum(users.values()),
        }
        if record is not None:
            errors = self._new_failures(record)
            failed = sum(errors.values())
            accepted = self._entry(self._name, "accept", _take_new_counts_ms(record.accept), 0)
            finished = self._entry(self._name, "finish", _take_new_counts_ms(record.finish), failed)
            message["stats"] = [entry for entry in (accepted, finished) if entry["num_requests"]]
            # An order is counted once, where it ended.
            message["stats_total"] = {**finished, "name": "Aggregated", "method": ""}
            message["errors"] = dict(self._error(name, count) for name, count in errors.items() if count)
        return message

    def _new_failures(self, record: DriverRecord) -> dict[str, int]:
        window = record.window
        failures = {**record.failures, "unfinished": window.unfinished, "not sent": window.not_sent}
        new = {name: count - self._failures.get(name, 0) for name, count in failures.items()}
        self._failures = failures
        return new

    def _entry(self, name: str, method: str, counts_ms: Mapping[float, int], failed: int) -> dict[str, Any]:
        count = sum(counts_ms.values())
        now_s = self._clock()
        return {
            "name": name,
            "method": method,
            "last_request_timestamp": now_s if count or failed else None,
            "start_time": self._start_s,
            "num_requests": count + failed,
            "num_none_requests": failed,
            "num_failures": failed,
            "total_response_time": sum(ms * n for ms, n in counts_ms.items()),
            "max_response_time": max(counts_ms, default=0),
            "min_response_time": min(counts_ms, default=None),
            "total_content_length": 0,
            "response_times": dict(counts_ms),
            "num_reqs_per_sec": {int(now_s): count + failed} if count or failed else {},
            "num_fail_per_sec": {int(now_s): failed} if failed else {},
        }

    def _error(self, name: str, count: int) -> tuple[str, dict[str, Any]]:
        now_s = self._clock()
        key = hashlib.sha256(f"finish.{self._name}.{name}".encode()).hexdigest()
        return key, {
            "name": self._name,
            "method": "finish",
            "error": name,
            "occurrences": count,
            "first_seen": now_s,
            "last_seen": now_s,
        }


def _take_new_counts_ms(histogram: Histogram) -> dict[float, int]:
    return {value_us / 1000: count for value_us, count in histogram.take_new_counts().items()}


class LocustSetStats:
    """Builds Locust's ``stats`` message of a set, whose entries are named by cell."""

    def __init__(self, clock: Any = time.time) -> None:
        self._clock = clock
        self._slices: dict[int, LocustStats] = {}
        """Of slices that are not over, by place."""

    def message(self, slices: Iterable[ShownSlice], users: Mapping[str, int]) -> dict[str, Any]:
        """Returns the message of what these slices counted since the last call."""
        whole = LocustStats("", self._clock).message(None, users)
        for one in slices:
            stats = self._slices.setdefault(one.place, LocustStats(one.cell, self._clock))
            part = stats.message(one.record, users)
            whole["stats"] += part["stats"]
            for key, error in part["errors"].items():
                before = whole["errors"].get(key, {"occurrences": 0})["occurrences"]
                whole["errors"][key] = {**error, "occurrences": before + error["occurrences"]}
            whole["stats_total"] = _add_entries(whole["stats_total"], part["stats_total"])
            if one.over:
                del self._slices[one.place]
        return whole


def _add_entries(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Adds up what two entries counted; Locust's master adds entries of one name by itself, but not totals."""
    found = dict(one)
    for name in ("num_requests", "num_none_requests", "num_failures", "total_response_time"):
        found[name] = one[name] + other[name]
    for name in ("response_times", "num_reqs_per_sec", "num_fail_per_sec"):
        found[name] = dict(Counter(one[name]) + Counter(other[name]))
    found["max_response_time"] = max(one["max_response_time"], other["max_response_time"])
    known = [entry["min_response_time"] for entry in (one, other) if entry["min_response_time"] is not None]
    found["min_response_time"] = min(known, default=None)
    found["last_request_timestamp"] = other["last_request_timestamp"] or one["last_request_timestamp"]
    return found
