"""Computes percentiles from latency histograms, and reads and writes the histogram log.

The log is HdrHistogram's own format, version 1.3 with V2 payloads, as Java's ``HistogramLogWriter`` writes it. The
Python library reads it, but its writer cannot tag a line and fails at ``output_start_time``, so lines are written here.
"""

import math
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import cast

import msgspec
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from bench.results.durable_files import drop_partial_line
from bench.stats.quantiles import find_bucket, interval_ranks, quantile_rank, samples_needed

QUANTILES = {
    "p50_us": Fraction(50, 100),
    "p90_us": Fraction(90, 100),
    "p99_us": Fraction(99, 100),
    "p999_us": Fraction(999, 1000),
}
LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS = 1, 3_600_000_000, 3
"""From a microsecond to an hour, to three significant digits: 0.1 % of any value."""


def empty_histogram() -> HdrHistogram:
    """Return an empty histogram of microseconds, with the range and precision used everywhere."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles in microseconds. None: too few samples. Infinite: the order at that rank failed or did not finish."""

    p50_us: int | float | None = None
    p90_us: int | float | None = None
    p99_us: int | float | None = None
    p999_us: int | float | None = None
    max_us: int | float | None = None


def compute_percentiles(histogram: HdrHistogram, censored: int = 0) -> Percentiles:
    """Return the percentiles of a histogram, when ``censored`` further orders were slower than all of it.

    A percentile is the highest value that the histogram cannot tell from the sample at its rank, as in HdrHistogram.
    """
    n = histogram.get_total_count() + censored
    found: dict[str, int | float | None] = {
        name: _value_at_rank(histogram, quantile_rank(quantile, n), histogram.get_highest_equivalent_value)
        if n >= samples_needed(quantile)
        else None
        for name, quantile in QUANTILES.items()
    }
    if n:
        found["max_us"] = math.inf if censored else int(histogram.get_max_value())
    return Percentiles(**found)


class PercentileInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile of a series of a trial, and its 95 % confidence interval."""

    series: str
    quantile: str
    n: int
    """Samples, those ``censored`` included, which are slower than all others."""
    censored: int
    value_us: int | float | None
    low_us: int | float | None
    high_us: int | float | None


def compute_percentile_intervals(series: str, histogram: HdrHistogram, censored: int = 0) -> list[PercentileInterval]:
    """Return every reported percentile of the series with its interval, in the order of ``QUANTILES``."""
    found = compute_percentiles(histogram, censored)
    lines = []
    for name, quantile in QUANTILES.items():
        low_us, high_us = compute_quantile_interval(histogram, censored, quantile)
        lines.append(
            PercentileInterval(
                series=series,
                quantile=name.removesuffix("_us"),
                n=histogram.get_total_count() + censored,
                censored=censored,
                value_us=getattr(found, name),
                low_us=low_us,
                high_us=high_us,
            )
        )
    return lines


def compute_quantile_interval(
    histogram: HdrHistogram, censored: int, quantile: Fraction
) -> tuple[int | float | None, int | float | None]:
    """Return the 95 % confidence interval of a quantile in microseconds, ``censored`` orders being slower than all.

    The ends are samples, the lower one rounded down and the upper one up to what the histogram can tell apart. None:
    too few samples for a bound on that side. Infinite: the order at that rank failed or did not finish.
    """
    n = histogram.get_total_count() + censored
    low, high = interval_ranks(quantile, n) if n else (None, None)
    return (
        None if low is None else _value_at_rank(histogram, low, histogram.get_lowest_equivalent_value),
        None if high is None else _value_at_rank(histogram, high, histogram.get_highest_equivalent_value),
    )


def _value_at_rank(histogram: HdrHistogram, wanted: int, end: Callable[[int], int]) -> int | float:
    """The sample of a 1-based rank, as one ``end`` of the values that the histogram cannot tell from it."""
    index = find_bucket(cast("list[int]", histogram.counts), wanted)
    return math.inf if index is None else int(end(histogram.get_value_from_index(index)))


def build_tag(trial: str, series: str) -> str:
    """Return the tag of a line in the log, ``TRIAL/SERIES``, for instance ``r1-s1-rest/finish``.

    Raises ValueError for a name with a comma or white space.
    """
    name = f"{trial}/{series}"
    if any(character in name for character in ", \r\n\t"):
        raise ValueError(f"a tag has no comma and no white space: {name!r}")
    return name


def format_header(started_at: datetime) -> str:
    """Return the header lines of the log. Times in the log count from the epoch."""
    epoch_s = started_at.timestamp()
    readable = started_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return (
        "#[Histograms of microseconds, tagged TRIAL/SERIES; Interval_Max is in milliseconds]\n"
        "#[Histogram log format version 1.3]\n"
        f"#[StartTime: {epoch_s:.3f} (seconds since epoch), {readable}]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )


def format_line(tagged: str, histogram: HdrHistogram, started_epoch_s: float, length_s: float) -> str:
    """Format one tagged histogram whose interval began ``started_epoch_s`` seconds after the epoch."""
    max_ms = histogram.get_max_value() / 1000
    payload = histogram.encode().decode("ascii")
    return f"Tag={tagged},{started_epoch_s:.3f},{length_s:.3f},{max_ms:.3f},{payload}\n"


def parse_trial_name(text: str) -> str | None:
    """Return the trial that a line of the log is tagged with; None for a header line."""
    return text[4:].split(",", 1)[0].rpartition("/")[0] if text.startswith("Tag=") else None


def append_histograms(
    path: Path, trial: str, histograms: Mapping[str, HdrHistogram], started_epoch_s: float, length_s: float
) -> None:
    """Append a trial's histograms to the log, with the header if it is new, and wait until they are on disk.

    Raises OSError.
    """
    drop_partial_line(path)
    with path.open("a", encoding="ascii") as log:
        if log.tell() == 0:
            log.write(format_header(datetime.fromtimestamp(started_epoch_s, UTC)))
        for series, histogram in histograms.items():
            log.write(format_line(build_tag(trial, series), histogram, started_epoch_s, length_s))
        log.flush()
        os.fsync(log.fileno())


def _raise_damaged(line: int) -> None:
    raise ValueError(f"line {line} holds no histogram")


def read_histograms(
    path: Path, series: Collection[str] = (), damaged: Callable[[int], None] = _raise_damaged
) -> Iterator[tuple[str, str, HdrHistogram]]:
    """Yield trial, series and histogram in the order written, of all series or of these ``series`` alone.

    An incomplete last line is skipped, and so is a line without a histogram once ``damaged`` was called with its
    number. Raises OSError, and ValueError unless ``damaged`` does otherwise.
    """
    with path.open(encoding="ascii", errors="replace") as log:
        for line, text in enumerate(log, 1):
            if text.startswith("Tag=") and text.endswith("\n"):
                tagged, payload = text[4:].split(",", 1)[0], text.rstrip("\n").rpartition(",")[2]
                trial, _, name = tagged.rpartition("/")
                if series and name not in series:
                    continue
                try:
                    histogram = HdrHistogram.decode(payload)
                except (HdrLengthException, HdrCookieException, zlib.error, ValueError, IndexError):
                    damaged(line)
                else:
                    yield trial, name, histogram
