"""Tests histograms and counters of a trial: percentiles, merging and serialisation."""

import itertools
import math
from collections import Counter

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from bench.load.merging import merge_reports
from bench.load.protocol import TrialReport, TrialSpec
from bench.load.recorder import (
    MAX_LATENCY_US,
    DriverRecord,
    Histogram,
    MiscountError,
    OrderCounts,
    PackedRecord,
    PackedTally,
    SampledOrder,
)
from bench.results.measures import histogram_names
from shop.service import Tally
from transports.base import Setting


def a_histogram(*values_us: int) -> Histogram:
    histogram = Histogram()
    for value_us in values_us:
        histogram.record(value_us)
    return histogram


def a_report(worker: int, *finish_us: int, **changes: object) -> TrialReport:
    record = DriverRecord()
    for value_us in finish_us:
        record.finish.record(value_us)
    report = TrialReport.of("trial-1", worker, record, f"hash-{worker}")
    return msgspec.structs.replace(report, **changes)


def test_a_histogram_travels_as_a_standard_one() -> None:
    values_us = [1, 17, 2047, 2048, 2049, 123_456, 7_654_321]
    standard = HdrHistogram(1, MAX_LATENCY_US, 3)
    for value_us in values_us:
        standard.record_value(value_us)
    packed = a_histogram(*values_us).pack()
    arrived = HdrHistogram.decode(packed.hdr)
    assert list(arrived.counts) == list(standard.counts)
    assert packed.hdr.startswith("HISTF")


@given(st.lists(st.integers(0, MAX_LATENCY_US), max_size=50))
def test_a_histogram_survives_the_journey(values_us: list[int]) -> None:
    histogram = a_histogram(*values_us)
    assert Histogram.unpack([histogram.pack()]).counts() == histogram.counts()


@given(st.lists(st.integers(0, MAX_LATENCY_US), min_size=1, max_size=200), st.sampled_from([0, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_the_nearest_rank_to_three_digits(values_us: list[int], percent: float) -> None:
    exact = sorted(values_us)[max(1, math.ceil(round(len(values_us) * percent / 100, 9))) - 1]
    found = a_histogram(*values_us).percentile_us(percent)
    assert found is not None
    assert exact <= found <= exact * 1.001


def test_percentiles_that_fall_among_the_censored_are_infinite() -> None:
    histogram = a_histogram(*range(1, 91))
    histogram.censored = 10
    assert histogram.percentile_us(90) == 90
    assert histogram.percentile_us(91) == math.inf


def test_no_sample_has_no_percentile() -> None:
    assert Histogram().percentile_us(50) is None


def test_values_out_of_range_are_recorded_at_its_ends() -> None:
    histogram = a_histogram(-5, 10 * MAX_LATENCY_US)
    assert histogram.count == 2
    assert histogram.percentile_us(0) == 0
    assert (histogram.percentile_us(100) or 0) >= MAX_LATENCY_US


def test_what_is_fresh_is_told_once_and_kept() -> None:
    histogram = a_histogram(5, 5)
    assert histogram.take_new_counts() == {5: 2}
    histogram.record(7)
    assert histogram.take_new_counts() == {7: 1}
    assert histogram.counts() == {5: 2, 7: 1}


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    histogram = Histogram()
    for value_us in range(0, 40_000_000, 997):
        histogram.record(value_us)
    assert len(histogram.counts()) < 20_000


def test_the_merge_of_histograms_is_the_histogram_of_all() -> None:
    one, other = a_histogram(1, 2, 3000), a_histogram(3000, 4)
    other.censored = 2
    both = Histogram.unpack([one.pack(), other.pack()])
    assert both.counts() == a_histogram(1, 2, 3000, 3000, 4).counts()
    assert both.censored == 2


@pytest.mark.parametrize("name", ["planned", "sent", "finished", "failed", "unfinished", "not_sent"])
def test_counts_that_do_not_add_up_are_raised(name: str) -> None:
    record = DriverRecord()
    setattr(record.window, name, 1)
    with pytest.raises(MiscountError, match="do not add up"):
        record.close()


STAYS_BEHIND = {"extra", "steady", "warm_up_ns"}
"""Of a record, what belongs to a whole trial alone; ``extra`` merges as the table of measures says."""


def read_whole(record: DriverRecord) -> dict[str, object]:
    """Returns all that a record holds, in values that can be compared."""
    found: dict[str, object] = {}
    for name in set(DriverRecord.__slots__) - STAYS_BEHIND:
        value = getattr(record, name)
        if isinstance(value, Histogram):
            value = (value.counts(), value.censored)
        elif isinstance(value, OrderCounts):
            value = {slot: getattr(value, slot) for slot in OrderCounts.__slots__}
        found[name] = value
    return found


def build_full_record() -> DriverRecord:
    """Builds a record in which no two numbers are the same."""
    record, numbers = DriverRecord(), itertools.count(1)
    for name in set(DriverRecord.__slots__) - STAYS_BEHIND:
        value = getattr(record, name)
        if isinstance(value, Histogram):
            value.record(next(numbers))
            value.censored = next(numbers)
        elif isinstance(value, OrderCounts):
            for slot in OrderCounts.__slots__:
                setattr(value, slot, next(numbers))
        elif isinstance(value, Tally):
            value.count, value.amount_cents, value.order_ids, value.contents = (next(numbers) for _ in range(4))
        elif isinstance(value, Counter):
            value["Unreachable"] = next(numbers)
        elif isinstance(value, int):
            setattr(record, name, next(numbers))
    record.sampled = [SampledOrder("o", *(next(numbers) for _ in range(4)))]
    record.in_flight_parts = [float(next(numbers)) for _ in range(12)]
    record.finished_by_part = [next(numbers) for _ in range(12)]
    record.response_logs_by_part = [float(next(numbers)) for _ in range(12)]
    return record


def test_a_record_loses_nothing_on_its_way() -> None:
    record = build_full_record()
    packed = msgspec.json.decode(msgspec.json.encode(record.pack()), type=PackedRecord)
    assert read_whole(DriverRecord.unpack(packed)) == read_whole(record)


def test_a_record_that_is_added_to_an_empty_one_is_the_sum() -> None:
    record, total = build_full_record(), DriverRecord()
    total.add(record)
    assert read_whole(total) == read_whole(record)


def test_a_report_survives_json() -> None:
    report = a_report(0, 1, 2, 3)
    assert TrialReport.from_json(report.to_json()) == report


def test_a_spec_survives_json() -> None:
    setting = Setting(trial="t", addresses={"user": "127.0.0.1:1"}, options={"client": "aiohttp"})
    spec = TrialSpec(id="t", transport="rest", setting=setting, duration_s=6)
    assert TrialSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("change", [{"users": -1}, {"warm_up_s": -1}, {"duration_s": 0}])
def test_a_spec_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not "):
        TrialSpec(id="t", transport="rest", setting=Setting(trial="t"), **change)  # type: ignore[arg-type]


def test_reports_of_workers_add_up() -> None:
    tally = Tally()
    tally.add("order-1", 300)
    shipped = PackedTally.of(tally)
    reports = [a_report(0, 5, planned=3, failures={"Failed": 1}), a_report(1, 7, planned=4, failures={"Failed": 2})]
    for report in reports:
        report.audit.shipped = shipped
        report.services_audit = {"user": {"tallies": {"shipped": msgspec.to_builtins(shipped)}, "balance": {"open": 0}}}
    whole = merge_reports(reports)
    assert (whole.worker, whole.workers, whole.planned, whole.failures) == (None, 2, 7, {"Failed": 3})
    assert whole.histogram("finish").counts() == {5: 1, 7: 1}
    assert whole.audit.shipped == shipped + shipped
    assert whole.services_audit is not None
    assert whole.services_audit["user"]["tallies"]["shipped"]["order_ids"] == (2 * shipped.order_ids) % 2**64
    assert set(whole.histograms) == set(histogram_names())


def test_orders_in_flight_of_workers_add_up_and_their_responses_are_averaged_over_orders() -> None:
    one = a_report(0, 1, finished=1, in_flight_mean=2.0, response_mean_s=0.1, service_mean_s=0.1)
    other = a_report(1, 1, 1, 1, finished=3, in_flight_mean=3.0, response_mean_s=0.5, service_mean_s=0.3)
    whole = merge_reports([one, other])
    assert (whole.in_flight_mean, whole.response_mean_s) == (5.0, pytest.approx(0.4))
    assert whole.service_mean_s == pytest.approx(0.25)


def test_the_hash_of_several_plans_does_not_depend_on_who_reports_first() -> None:
    one, other = a_report(0), a_report(1)
    assert merge_reports([one, other]).plan_hash == merge_reports([other, one]).plan_hash != ""


def test_one_plan_that_was_edited_leaves_the_whole_without_a_hash() -> None:
    assert merge_reports([a_report(0), a_report(1, plan_hash="")]).plan_hash == ""


def test_one_worker_that_could_not_run_it_is_an_error_of_the_whole() -> None:
    refused = TrialReport(trial="trial-1", worker=1, error="nobody listens there")
    assert merge_reports([a_report(0, 5), refused]).error == "nobody listens there"
