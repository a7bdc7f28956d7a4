"""Tests histogram percentiles and the histogram log."""

import math
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from bench.results import histograms as hlog
from bench.results.histograms import compute_percentiles, empty_histogram
from tests.unit.builders import build_histogram


def written(folder: Path) -> Path:
    path = folder / "histograms.hlog"
    hlog.append_histograms(
        path, "r1-s1-rest", {"accept": build_histogram(1.0), "finish": build_histogram(5.0)}, 1_700_000_000.25, 6
    )
    hlog.append_histograms(path, "r1-s2-grpc+json", {"finish": build_histogram(7.0)}, 1_700_000_010, 6)
    return path


def test_the_librarys_own_reader_reads_the_log(tmp_path: Path) -> None:
    reader = HistogramLogReader(str(written(tmp_path)), empty_histogram())
    found = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found.append((histogram.get_tag(), histogram.get_total_count(), histogram.get_start_time_stamp()))
    reader.close()
    assert [tag for tag, _, _ in found] == ["r1-s1-rest/accept", "r1-s1-rest/finish", "r1-s2-grpc+json/finish"]
    assert {count for _, count, _ in found} == {900}
    assert found[0][2] == 1_700_000_000_250


def test_what_is_read_back_equals_what_was_written(tmp_path: Path) -> None:
    read = {(trial, series): histogram for trial, series, histogram in hlog.read_histograms(written(tmp_path))}
    assert read["r1-s2-grpc+json", "finish"].equals(build_histogram(7.0))


def test_lines_have_the_form_that_java_writes(tmp_path: Path) -> None:
    lines = written(tmp_path).read_text("ascii").splitlines()
    assert lines[1] == "#[Histogram log format version 1.3]"
    assert re.fullmatch(r"#\[StartTime: \d+\.\d{3} \(seconds since epoch\), \S+\]", lines[2])
    assert re.fullmatch(r"Tag=r1-s1-rest/accept,1700000000\.250,6\.000,\d+\.\d{3},HIST[\w+/=]+", lines[4])


def test_a_half_written_last_line_is_left_out_and_then_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert [trial for trial, _, _ in hlog.read_histograms(path)] == ["r1-s1-rest", "r1-s1-rest"]
    hlog.append_histograms(path, "r2-s1-rest", {"finish": build_histogram(1.0)}, 1_700_000_020, 6)
    assert [trial for trial, _, _ in hlog.read_histograms(path)] == ["r1-s1-rest", "r1-s1-rest", "r2-s1-rest"]


def test_a_tag_with_a_comma_is_refused() -> None:
    with pytest.raises(ValueError, match="no comma"):
        hlog.build_tag("rest,json", "finish")


def test_too_few_samples_have_no_percentile() -> None:
    found = compute_percentiles(build_histogram(5.0, orders=661))
    assert found.p90_us is not None
    assert found.p99_us is None
    assert compute_percentiles(build_histogram(5.0, orders=662)).p99_us is not None


def test_orders_that_did_not_finish_count_as_infinitely_slow() -> None:
    found = compute_percentiles(build_histogram(5.0, orders=900), censored=100)
    assert isinstance(found.p50_us, int)
    assert (found.p99_us, found.max_us) == (math.inf, math.inf)
    assert found.p90_us == build_histogram(5.0, orders=900).get_max_value()


def test_with_nothing_recorded_every_percentile_is_empty() -> None:
    assert compute_percentiles(empty_histogram()).max_us is None


def test_with_all_orders_lost_every_percentile_is_infinite() -> None:
    assert compute_percentiles(empty_histogram(), censored=700).p50_us == math.inf


@given(st.lists(st.integers(1, 50_000_000), min_size=64, max_size=200), st.integers(0, 50))
def test_percentiles_are_the_samples_at_their_ranks_to_three_digits(values: list[int], censored: int) -> None:
    histogram: HdrHistogram = empty_histogram()
    for value in values:
        histogram.record_value(value)
    ordered = [*sorted(values), *[math.inf] * censored]
    found = compute_percentiles(histogram, censored)
    assert found.p50_us == pytest.approx(ordered[math.ceil(len(ordered) / 2) - 1], rel=1e-3)
    assert found.p90_us == pytest.approx(ordered[-(-len(ordered) * 9 // 10) - 1], rel=1e-3)


def counting_to(orders: int) -> HdrHistogram:
    """1 to ``orders`` microseconds, one of each."""
    histogram = empty_histogram()
    for value in range(1, orders + 1):
        histogram.record_value(value)
    return histogram


def test_the_interval_of_a_percentile_runs_between_the_samples_at_its_ranks() -> None:
    assert hlog.compute_quantile_interval(counting_to(1000), 0, Fraction(99, 100)) == (983, 997)


def test_the_interval_is_rounded_outwards_to_what_the_histogram_can_tell() -> None:
    low, high = hlog.compute_quantile_interval(counting_to(10_000), 0, Fraction(99, 100))
    assert low is not None
    assert high is not None
    assert 9880 / 1.001 <= low <= 9880
    assert 9920 <= high <= 9920 * 1.001
    assert low % 8 == 0
    assert high % 8 == 7


def test_an_end_that_falls_on_a_censored_order_is_infinite() -> None:
    assert hlog.compute_quantile_interval(counting_to(990), 10, Fraction(99, 100)) == (983, math.inf)
    assert hlog.compute_quantile_interval(counting_to(500), 500, Fraction(99, 100)) == (math.inf, math.inf)


def test_an_end_for_which_there_are_too_few_orders_is_none() -> None:
    assert hlog.compute_quantile_interval(counting_to(100), 0, Fraction(99, 100)) == (97, None)
    assert hlog.compute_quantile_interval(empty_histogram(), 0, Fraction(99, 100)) == (None, None)
