"""Tests what Locust's page is told of a set."""

from bench.load.locust.stats import LocustSetStats
from bench.load.recorder import DriverRecord
from bench.load.sets.session import ShownSlice


def record_with(*latencies_us: int) -> DriverRecord:
    record = DriverRecord()
    for latency_us in latencies_us:
        record.accept.record(latency_us)
        record.finish.record(latency_us)
    return record


def test_entries_are_named_by_cell_and_the_total_is_of_all() -> None:
    stats = LocustSetStats(clock=lambda: 100.0)
    slices = [ShownSlice(1, "rest", record_with(5000, 7000), True), ShownSlice(2, "rest@b", record_with(9000), True)]
    message = stats.message(slices, {"OrderUser": 1})
    assert {(entry["name"], entry["method"], entry["num_requests"]) for entry in message["stats"]} == {
        ("rest/order", "accept", 2),
        ("rest/order", "finish", 2),
        ("rest@b/order", "accept", 1),
        ("rest@b/order", "finish", 1),
    }
    total = message["stats_total"]
    assert (total["num_requests"], total["total_response_time"]) == (3, 21)
    assert (total["min_response_time"], total["max_response_time"]) == (5, 9)
    assert total["response_times"] == {5: 1, 7: 1, 9: 1}
    assert message["user_count"] == 1


def test_a_slice_that_goes_on_is_told_once() -> None:
    stats = LocustSetStats(clock=lambda: 100.0)
    record = record_with(5000)
    assert stats.message([ShownSlice(1, "rest", record, False)], {})["stats_total"]["num_requests"] == 1
    record.finish.record(6000)
    assert stats.message([ShownSlice(1, "rest", record, True)], {})["stats_total"]["num_requests"] == 1
    assert stats.message([], {})["stats_total"]["num_requests"] == 0


def test_failures_of_several_slices_add_up() -> None:
    stats = LocustSetStats(clock=lambda: 100.0)
    records = [record_with(5000), record_with(5000)]
    for record in records:
        record.failures["NoOutcome"] += 2
    message = stats.message([ShownSlice(at, "rest", record, True) for at, record in enumerate(records)], {})
    assert message["stats_total"]["num_failures"] == 4
    assert sum(error["occurrences"] for error in message["errors"].values()) == 4
