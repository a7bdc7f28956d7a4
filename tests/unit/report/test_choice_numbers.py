"""Recomputes the numbers of the pros and cons and of the form from the trials."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.advise.report import write_report
from bench.paths import REFERENCE
from bench.results.lookup import find_reference_runs
from bench.results.store import RunFolder
from bench.stats.intervals import Estimate, estimate_median, scale_estimate
from bench.stats.paired import paired_ratio
from tests.unit.advise.test_ranking import a_study, four

pytestmark = pytest.mark.slow

METHODS = {
    **{"REST": "rest", "gRPC": "grpc", "RabbitMQ": "broker", "Kafka": "events"},
    **{"broker on Kafka": "broker+kafka", "events on RabbitMQ": "events+rabbitmq"},
    **{f"REST:{client}": f"rest:{client}" for client in ("httpx", "httpx-aiohttp")},
    "Kafka:confluent": "events:confluent",
}
OWN = {"grpc": "protobuf"}
"""The format that a method takes of itself, where that is not JSON, in which it is looked for elsewhere."""
UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2}
METRICS = {
    "completion p50, ms": ("finish_p50_us", 1000),
    "acceptance p50, ms": ("accept_p50_us", 1000),
    "completion p99, ms": ("finish_p99_us", 1000),
    "CPU of an order, us": ("cpu_us_per_order", 1),
    "bytes of an order": ("wire_bytes_per_order", 1),
}
"""By the form's heading."""
CLAIMED = {
    "completes": ("finish_p50_us", 1000),
    "accepts": ("accept_p50_us", 1000),
    "p99 of completion": ("finish_p99_us", 1000),
    "CPU": ("cpu_us_per_order", 1),
    "bytes": ("wire_bytes_per_order", 1),
}
"""By words of a claim."""
NUMBER = r"([\d,]+(?:\.\d+)?)"
SPREAD = rf"{NUMBER}(?: (?:ms|us|bytes|%))?(?: \({NUMBER} to {NUMBER}\))?"
USE = re.compile(
    r"([\d.]+)(B|KiB|MiB) (\w+), ([\d.]+)/s(?: in bursts of ([\d.]+) times)?, "
    r"security (\w+), durability (\w+): run (\S+)"
)
COMPARED = re.compile(
    rf"(.+?) at ([\d.]+)/s of ([\d.]+)(B|KiB|MiB)(, in bursts of [\d.]+ times that)?: ({SPREAD}), (.*)"
)
RATIO = re.compile(rf"{NUMBER} times ([^,]+?)'s \({NUMBER} to {NUMBER}\)")
FAILED = re.compile(
    rf"{NUMBER} of {NUMBER} orders failed or did not finish with .*? \((\S+)\), (\d+) trials: (.*) of a"
)


class Use(NamedTuple):
    """Where a number was measured."""

    method: str
    codec: str
    size_bytes: float
    rate_per_s: float
    burst: bool
    shape: str = "document"
    security: str = "none"
    durability: str = "fast"


def method_of(trial: Mapping[str, str]) -> str:
    """Of ``broker+kafka+msgpack@64KiB`` in msgpack what is left without them."""
    name = trial["cell"].partition("@")[0]
    return name.removesuffix(f"+{trial['compression']}").removesuffix(f"+{trial['codec']}")


def trials_of(run: RunFolder, use: Use) -> pd.DataFrame:
    """By round, of the first cell that is there and does nothing else that is special; the invalid trials too."""
    trials = run.trials()
    stores = set(trials.loc[trials["durability"] == use.durability, "store"])
    wanted = {
        **({} if use.codec == "any" else {"codec": use.codec}),
        "order_bytes": use.size_bytes,
        "shape": use.shape,
        "security": use.security,
        "durability": use.durability,
        "store": "sqlite" if "sqlite" in stores else "memory",  # the default, where the run has it
        "arrivals": "burst" if use.burst else "poisson",
        "fault": "none",
        "compression": "none",
        "compressible": 1.0,
        "processes": 1,
        "retries": 0,
    }
    there = trials[trials.apply(method_of, axis=1) == use.method]
    there = there[np.isclose(there["rate_per_s"], use.rate_per_s, rtol=0.01)]
    if "keep_alive_s" in there:
        there = there[there["keep_alive_s"] == 0]
    for column, value in wanted.items():
        there = there[there[column] == value]
    if use.codec == "any":
        own = OWN.get(use.method, "json")
        there = there[there["codec"] == (own if own in set(there["codec"]) else "json")]
    first = there[there["cell"] == there["cell"].iloc[0]]
    burnt = first["cpu_us_per_order_services"] + first["cpu_us_per_order_broker"].fillna(0)
    return first.assign(cpu_us_per_order=burnt).set_index("round")


def estimate(run: RunFolder, trials: pd.DataFrame, metric: str, scale: float) -> Estimate:
    """Of a run in sets the mean over sets with Student's t by scipy; a p99 is of all sets together."""
    values = trials.loc[trials["valid"], metric].dropna() / scale
    statistics = run.set_statistics()
    if statistics is None:
        return estimate_median(values)
    if "p99" in metric:
        whole = statistics.estimate_whole(metric, str(trials["cell"].iloc[0]))
        assert whole is not None
        return scale_estimate(whole, 1 / scale)
    logs = np.log(values)
    low, high = stats.t.interval(0.95, len(logs) - 1, logs.mean(), stats.sem(logs))
    return Estimate(*map(float, np.exp([logs.mean(), low, high])), 0.95, len(logs))


def ratio_of_sets(run: RunFolder, trials: pd.DataFrame, beside: pd.DataFrame, metric: str) -> Estimate | None:
    """Of a run in sets, to the cell ``beside``; its mean is checked here, and its interval in tests/unit/stats."""
    statistics = run.set_statistics()
    if statistics is None:
        return None
    every = statistics.trials
    burnt = every["cpu_us_per_order_services"] + every["cpu_us_per_order_broker"].fillna(0)
    statistics = replace(statistics, trials=every.assign(cpu_us_per_order=burnt))
    ratio = statistics.ratio(metric, str(trials["cell"].iloc[0]), str(beside["cell"].iloc[0]))
    if "p99" not in metric:
        values, bases = (rows.loc[rows["valid"], metric] for rows in (trials, beside))
        assert ratio.value == pytest.approx(float(np.exp(np.log(values / bases).mean())))
    return ratio


def numbers(said: str) -> list[float]:
    """Of ``2.93 ms (2.62 to 4.50)``."""
    found = re.fullmatch(SPREAD, said)
    assert found, said
    return [float(one.replace(",", "")) for one in found.groups() if one is not None]


def as_said(found: list[float]) -> object:
    """Three digits are read."""
    return pytest.approx(found, rel=0.0051)


def text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def lines(page: str) -> Iterator[Mapping[str, str]]:
    """Of the form's table: what stands below each heading, the use, and which method it is."""
    table = re.search(r'<table id="advise-table">.*?</table>', page, re.DOTALL)
    assert table
    head, *uses = re.findall(r"<(?:thead|tbody)\b.*?</(?:thead|tbody)>", table[0], re.DOTALL)
    headings = [text(one) for one in re.findall(r"<th\b.*?</th>", head, re.DOTALL)]
    for of_use in uses:
        use, *rows = re.findall(r"<tr\b.*?</tr>", of_use, re.DOTALL)
        for row in rows:
            cells = [text(one) for one in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL)]
            which = re.search(r'data-method="([^"]*)" data-codec="([^"]*)"', row)
            assert which
            yield {**dict(zip(headings, cells, strict=True)), "use": text(use), "id": which[1], "codec": which[2]}


def claims(page: str) -> Iterator[tuple[str, str, str]]:
    """Method, text and source of each."""
    for heading, listed in re.findall(r'<h3>([^<]*)</h3>\s*<ul class="claims">(.*?)</ul>', page, re.DOTALL):
        for said, where in re.findall(r"<li[^>]*>(.*?)<small>(.*?)</small>", listed, re.DOTALL):
            yield heading, re.sub(r"^(pro|con) ", "", text(said)), text(where)


def assert_lines_are_the_trials(page: str, runs: Mapping[str, RunFolder]) -> int:
    checked = 0
    for line in lines(page):
        use = USE.fullmatch(line["use"])
        assert use, line["use"]
        size, unit, shape, rate, burst, security, durability, run = use.groups()
        if "on a line" in line["completion p50, ms"]:
            continue
        of_use = (float(size) * UNITS[unit], float(rate), bool(burst), shape, security, durability)
        trials = trials_of(runs[run], Use(line["id"], line["codec"], *of_use))
        for heading, (metric, scale) in METRICS.items():
            if line[heading] == "n/a":
                continue
            found = estimate(runs[run], trials, metric, scale)
            if "∞" not in line[heading]:
                known = [one for one in (found.value, found.low, found.high) if one is not None]
                assert numbers(line[heading]) == as_said(known), (line, heading)
                checked += 1
        failed = f"{trials['failed'].sum() + trials['unfinished'].sum()}; {trials['lost'].sum():.0f}"
        assert line["failed; lost"].replace(",", "") == failed, line
    return checked


def assert_claims_are_the_trials(page: str, runs: Mapping[str, RunFolder]) -> int:
    checked = 0
    for heading, said, where in claims(page):
        method = METHODS.get(heading, heading)
        if compared := COMPARED.fullmatch(said):
            words, rate, size, unit, burst, own, *_, others = compared.groups()
            metric, scale = next(of for word, of in CLAIMED.items() if word in words)
            run, size_bytes = runs[where.partition("/")[0]], float(size) * UNITS[unit]
            trials = trials_of(run, Use(method, "any", size_bytes, float(rate), bool(burst)))
            found = estimate(run, trials, metric, scale)
            assert numbers(own) == as_said([found.value or 0, found.low or 0, found.high or 0]), said
            for ratio, other, low, high in RATIO.findall(others):
                base = METHODS[other]
                beside = trials_of(run, Use(base, "any", size_bytes, float(rate), bool(burst)))
                both = trials[trials["valid"]].join(beside[beside["valid"]].add_suffix("_base"), how="inner")
                against = ratio_of_sets(run, trials, beside, metric)
                against = against or paired_ratio(list(both[metric]), list(both[f"{metric}_base"]))
                assert [float(one.replace(",", "")) for one in (ratio, low, high)] == as_said(
                    [against.value or 0, against.low or 0, against.high or 0]
                ), said
                checked += 1
        elif failed := FAILED.match(said):
            count, planned, cell, rounds, share = failed.groups()
            rows = runs[where.partition("/")[0]].outages()
            rows = rows[(rows["cell"] == cell) & rows["valid"]]
            bad = rows["failed"] + rows["unfinished"]
            assert [int(one.replace(",", "")) for one in (count, planned, rounds)] == [
                bad.sum(),
                rows["planned"].sum(),
                len(rows),
            ], said
            found = estimate_median(bad / rows["planned"] * 100)
            known = [one for one in (found.value, found.low, found.high) if one is not None]
            assert numbers(share.replace(" (no interval)", "")) == as_said(known), said
            checked += 1
    return checked


def test_the_form_and_the_claims_of_a_page_have_the_numbers_of_its_trials(tmp_path: Path) -> None:
    cells = [*four(), *four(60, 61, 300, 20, arrivals="burst", rate_per_s=100.0)]
    folders = a_study(tmp_path, cells)
    page = write_report(list(folders.values()), tmp_path / "out").read_text("utf-8")
    runs = {name: RunFolder.open(folder) for name, folder in folders.items()}
    assert assert_lines_are_the_trials(page, runs) >= 2 * 4 * 4
    assert assert_claims_are_the_trials(page, runs) >= 12


@pytest.mark.reference
def test_those_of_the_report_that_is_kept_have_the_numbers_of_its_runs() -> None:
    page = (REFERENCE / "report" / "report.html").read_text("utf-8")
    runs = {name: RunFolder.open(folder) for name, folder in find_reference_runs().items()}
    assert assert_lines_are_the_trials(page, runs) > 500
    assert assert_claims_are_the_trials(page, runs) > 40
