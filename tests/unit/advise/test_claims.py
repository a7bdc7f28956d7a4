"""Tests pros and cons: each follows from data or a trait, none from an unclear difference."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import pytest

from bench.advise.chart_links import look_up_in_folders
from bench.advise.claims import Claim, build_claims
from bench.advise.evidence import HEADLINE, collect_evidence
from bench.advise.needs import NEEDS
from bench.paths import ROOT
from bench.results.lookup import find_reference_runs
from bench.results.rows import OutageRow
from bench.results.store import RunFolder
from tests.unit.advise.kept import collect_kept_evidence
from tests.unit.advise.test_answer import SEARCHED, searched
from tests.unit.advise.test_ranking import (
    COMMANDS_ON_KAFKA,
    EVENTS_ON_RABBIT,
    GRPC,
    KAFKA,
    KIB,
    RABBIT,
    REST,
    a_study,
    four,
    sizes,
)


def claimed(folders: Mapping[str, Path]) -> list[Claim]:
    return build_claims(collect_evidence(folders), look_up_in_folders(folders))


def about(found: Sequence[Claim], method: str, subject: str) -> list[tuple[str, str]]:
    return [(claim.kind, claim.text) for claim in found if (claim.method.name, claim.subject) == (method, subject)]


def test_the_soonest_has_a_pro_and_the_latest_a_con_with_number_and_ratios(tmp_path: Path) -> None:
    found = claimed(a_study(tmp_path, four(rest=2.0)))
    ((kind, text),) = about(found, REST, HEADLINE)
    assert kind == "pro"
    assert re.match(r"completes sooner at 150/s of 1KiB: 2\.\d+ ms \(1\.\d+ to 2\.\d+\), 0\.\d+ times gRPC's \(", text)
    ((kind, text),) = about(found, KAFKA, HEADLINE)
    assert kind == "con"
    assert text.count("times") == 3


def test_a_method_between_the_others_has_neither(tmp_path: Path) -> None:
    found = claimed(a_study(tmp_path, four(rest=2.0)))
    assert about(found, RABBIT, HEADLINE) == []


def test_no_difference_shown_is_neither_pro_nor_con(tmp_path: Path) -> None:
    found = claimed(a_study(tmp_path, four(3.0, 3.01, 3.02, 2.99)))
    assert not [claim for claim in found if claim.subject == HEADLINE]


def test_one_round_claims_nothing_of_speed(tmp_path: Path) -> None:
    found = claimed(a_study(tmp_path, four(), rounds=1))
    assert not [claim for claim in found if claim.run]


def test_bursts_are_a_subject_of_their_own(tmp_path: Path) -> None:
    cells = [*four(), *four(60, 61, 300, 20, arrivals="burst", rate_per_s=100.0)]
    found = claimed(a_study(tmp_path, cells))
    texts = [text for kind, text in about(found, KAFKA, HEADLINE) if kind == "pro"]
    assert len(texts) == 1
    assert texts[0].startswith("completes sooner at 100/s of 1KiB, in bursts of 10 times that: ")


def test_what_a_kib_more_adds_is_told_apart_by_the_slopes(tmp_path: Path) -> None:
    cells = sizes(KIB, 8 * KIB, 64 * KIB, 256 * KIB)
    found = claimed(a_study(tmp_path, cells))
    ((kind, text),) = about(found, REST, "a KiB more")
    assert kind == "pro"
    assert re.match(r"a KiB more \(json, document, at 150/s\) adds 5\d\.\d us \(", text)
    assert about(found, KAFKA, "a KiB more")[0][0] == "con"


def an_outage(**changes: Any) -> OutageRow:
    fields: dict[str, Any] = dict.fromkeys(OutageRow.__struct_fields__)
    fields |= {"cell": "rest@kill", "fault": "kill-payment", "fault_begin_s": 2.0, "fault_end_s": 5.0, "failures": ""}
    fields |= {"planned": 500, "failed": 0, "unfinished": 0, "delayed": 0, "lost": 0}
    fields |= {"redelivered": 0, "duplicate_outcomes": 0}
    return OutageRow(**(fields | changes))


def test_an_outage_is_a_con_where_orders_failed_and_a_pro_where_only_others_did(tmp_path: Path) -> None:
    fault = {"fault": "kill-payment"}
    folders = a_study(tmp_path, [*four(), (REST, 3.0, fault), (RABBIT, 6.0, fault)])
    run = RunFolder.open(folders["made-up"])
    for number in range(1, 7):
        run.add_outage(an_outage(round=number, slot=5, cell="rest@kill-payment", failed=100 + number))
        run.add_outage(an_outage(round=number, slot=6, cell="broker@kill-payment"))
    found = claimed(folders)
    ((kind, text),) = about(found, REST, "kill-payment")
    assert (kind, text) == (
        "con",
        "621 of 3,000 orders failed or did not finish with payment killed (rest@kill-payment), 6 trials: "
        "20.7 % (20.2 to 21.2) of a trial's",
    )
    assert about(found, RABBIT, "kill-payment") == [
        (
            "pro",
            "none of 3,000 orders failed with payment killed (broker@kill-payment), 6 trials, where other methods' did",
        )
    ]


def test_an_outage_in_which_nobodys_orders_failed_says_nothing(tmp_path: Path) -> None:
    fault = {"fault": "delay-payment"}
    folders = a_study(tmp_path, [(REST, 3.0, {}), (REST, 3.0, fault), (RABBIT, 6.0, fault)])
    run = RunFolder.open(folders["made-up"])
    for slot, cell in ((2, "rest@delay-payment"), (3, "broker@delay-payment")):
        run.add_outage(an_outage(round=1, slot=slot, cell=cell, fault="delay-payment"))
    found = claimed(folders)
    assert not [claim for claim in found if claim.subject == "delay-payment"]


def test_a_promise_says_that_it_is_declared_and_which_test_shows_it(tmp_path: Path) -> None:
    found = claimed(a_study(tmp_path, four()))
    assert about(found, KAFKA, "replay") == [("pro", NEEDS["replay"].has)]
    assert about(found, GRPC, "browser") == [("con", NEEDS["browser"].lacks)]
    (claim,) = (one for one in found if (one.method.name, one.subject) == (KAFKA, "replay"))
    assert claim.source == f"declared; {NEEDS['replay'].shown_by}"


def test_promises_and_claims_over_another_product_are_its_own(tmp_path: Path) -> None:
    cells = [*four(), (COMMANDS_ON_KAFKA, 1.0, {}), (EVENTS_ON_RABBIT, 7.0, {})]
    found = claimed(a_study(tmp_path, cells))
    assert about(found, COMMANDS_ON_KAFKA, HEADLINE)[0][0] == "pro"
    assert "times broker on Kafka's (" in about(found, KAFKA, HEADLINE)[0][1]
    assert about(found, COMMANDS_ON_KAFKA, "replay") == [("pro", NEEDS["replay"].has)]
    assert about(found, EVENTS_ON_RABBIT, "replay") == [("con", NEEDS["replay"].lacks)]
    # What others' tools and back-pressure do was tested of each product with its own method.
    for method in (COMMANDS_ON_KAFKA, EVENTS_ON_RABBIT):
        assert about(found, method, "tools") == []
        sources = {one.subject: one.source for one in found if one.method.name == method and not one.run}
        assert "test_a_service_takes_no_more_than_its_prefetch" not in sources["back-pressure"]
        assert sources["replay"].startswith("declared; of its backend, with another method: ")


def test_an_outage_of_a_method_over_another_product_is_not_its_own_products(tmp_path: Path) -> None:
    fault = {"fault": "kill-payment"}
    folders = a_study(tmp_path, [*four(), (RABBIT, 6.0, fault), (COMMANDS_ON_KAFKA, 6.0, fault)])
    run = RunFolder.open(folders["made-up"])
    run.add_outage(an_outage(round=1, slot=5, cell="broker@kill-payment"))
    run.add_outage(an_outage(round=1, slot=6, cell="broker+kafka@kill-payment", failed=7))
    found = claimed(folders)
    assert [kind for kind, _ in about(found, RABBIT, "kill-payment")] == ["pro"]
    assert [kind for kind, _ in about(found, COMMANDS_ON_KAFKA, "kill-payment")] == ["con"]


def test_a_capacity_over_another_product_is_not_its_own_products(tmp_path: Path) -> None:
    folders = a_study(tmp_path, [*four(), (COMMANDS_ON_KAFKA, 6.0, {})], profile=SEARCHED)
    searched(folders, **{RABBIT: (500, 520), COMMANDS_ON_KAFKA: (900, 930)})
    ((kind, text),) = about(claimed(folders), COMMANDS_ON_KAFKA, "capacity")
    assert (kind, text.partition(":")[0]) == ("pro", "carries more than RabbitMQ (500/s)")


def test_what_lies_on_a_line_is_not_claimed_as_if_it_had_been_measured(tmp_path: Path) -> None:
    rates = [
        (method, ms, {"rate_per_s": rate}) for method, ms in ((REST, 3.0), (KAFKA, 9.0)) for rate in (100.0, 200.0)
    ]
    ((_, text),) = about(claimed(a_study(tmp_path, rates)), REST, HEADLINE)
    assert text.endswith("; REST on a line through 100/s, 200/s; Kafka on a line through 100/s, 200/s")
    measured = claimed(a_study(tmp_path / "measured", four()))
    assert not [claim for claim in measured if "on a line" in claim.text]


@pytest.fixture(scope="module")
def kept() -> list[Claim]:
    reference = collect_kept_evidence()
    return build_claims(reference, look_up_in_folders(reference.runs))


def lines_of(claim: Claim) -> Iterator[dict[str, str]]:
    """Of the file that a claim cites."""
    with (find_reference_runs()[claim.run] / claim.source).open(newline="") as file:
        yield from csv.DictReader(file)


def number_of_sets(claim: Claim, valid: Sequence[Mapping[str, str]]) -> float:
    """A mean over sets, in its own unit."""
    in_ms = 1000 if claim.subject.endswith("_us") and not claim.subject.startswith("cpu") else 1
    parts = ("cpu_us_per_order_services", "cpu_us_per_order_broker")
    names = parts if claim.subject == "cpu_us_per_order" else (claim.subject,)
    return geometric_mean([sum(float(row[name] or 0) for name in names) for row in valid]) / in_ms


def number_in_summary(claim: Claim) -> float:
    cells = json.loads((find_reference_runs()[claim.run] / claim.source).read_text("utf-8"))["cells"]
    (cell,) = (cell for cell in cells if cell["cell"] == claim.cell)
    return float(cell["metrics"][claim.subject]["estimate"]) / 1000


def number_in_source(claim: Claim) -> float:
    """What a claim says, in its own unit, found in the file that it cites without the code that claims it."""
    return number_in_summary(claim) if claim.source == "summary.json" else number_in_rows(claim)


def number_in_rows(claim: Claim) -> float:
    rows = [row for row in lines_of(claim) if row.get("cell") in (claim.cell, None)]
    if claim.source == "capacity.csv":
        return float(rows[0]["last_pass_per_s"])
    if claim.source == "effects.csv":
        wanted = (claim.method.transport, HEADLINE, "slope")
        slopes = [float(row["estimate"]) for row in rows if (row["transport"], row["metric"], row["kind"]) == wanted]
        assert claim.estimate is not None
        assert claim.estimate.value is not None
        return min(slopes, key=lambda slope: abs(slope - (claim.estimate.value or 0)))  # type: ignore[union-attr]
    if claim.source == "outages.csv":
        names = ("lost",) if claim.subject.endswith(", lost") else ("failed", "unfinished")
        return median(100 * sum(int(row[name]) for name in names) / int(row["planned"]) for row in rows)
    valid = [row for row in rows if row["valid"] == "true"]
    if RunFolder.open(find_reference_runs()[claim.run]).has_sets:
        return number_of_sets(claim, valid)
    if claim.subject == "cpu_us_per_order":
        parts = ("cpu_us_per_order_services", "cpu_us_per_order_broker")
        return median(sum(float(row[part] or 0) for part in parts) for row in valid)
    return median(float(row[claim.subject]) for row in valid) / (
        1000 if claim.subject.endswith("p50_us") or "p99" in claim.subject else 1
    )


@pytest.mark.reference
def test_the_number_of_every_claim_of_the_kept_runs_is_found_in_the_file_that_it_cites(kept: list[Claim]) -> None:
    measured = [claim for claim in kept if claim.run]
    sources = {"trials.csv", "effects.csv", "capacity.csv", "outages.csv", "summary.json"}
    assert {claim.source for claim in measured} == sources
    for claim in measured:
        assert "on a line" not in claim.text
        said = (
            claim.estimate.value
            if claim.estimate is not None
            else float(re.findall(r"([\d,.]+)/s passed", claim.text)[0].replace(",", ""))
        )
        assert number_in_source(claim) == pytest.approx(said, rel=1e-9 if claim.estimate else 0.005), claim


@pytest.mark.reference
def test_a_chart_that_a_claim_names_is_there_and_draws_its_number(kept: list[Claim]) -> None:
    drawn = [claim for claim in kept if claim.chart]
    assert {Path(claim.chart).name for claim in drawn} >= {"default-latency.csv", "capacity-curve.csv", "size-size.csv"}
    for claim in drawn:
        said = claim.estimate.value if claim.estimate is not None else number_in_source(claim)
        numbers = [float(one) for one in re.findall(r"\d+\.?\d*", Path(claim.chart).read_text())]
        assert any(one == pytest.approx(said, rel=1e-5) for one in numbers), claim


def test_a_number_that_no_chart_draws_has_none(tmp_path: Path) -> None:
    folders = a_study(tmp_path, four())
    (folders["made-up"] / "charts").mkdir()
    (folders["made-up"] / "charts" / "latency.csv").write_text(
        "cell,panel,quantile,what,latency_ms\nrest,finish,p50,median,4\n"
    )
    assert {claim.chart for claim in claimed(folders)} == {""}


@pytest.mark.reference
def test_every_promise_of_the_kept_runs_has_a_source_that_is_there(kept: list[Claim]) -> None:
    assert collect_kept_evidence().left_out == []
    assert {claim.method.name for claim in kept if claim.run} >= {REST, GRPC, RABBIT, KAFKA}
    for claim in (one for one in kept if not one.run):
        for file, test in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", claim.source):
            assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file(), claim
        assert "tests/" in claim.source or claim.source == "declared"


@pytest.mark.reference
def test_every_measured_claim_of_the_kept_runs_says_its_number_and_interval(kept: list[Claim]) -> None:
    for claim in kept:
        if claim.estimate is None:
            continue
        assert claim.estimate.value is not None, claim
        assert claim.estimate.low is not None, claim
        assert claim.estimate.high is not None, claim
        assert re.search(r"\d", claim.text)
