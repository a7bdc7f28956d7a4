"""Pros and cons: every one follows from the data or from a promise, and none where no difference is shown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.advice.claims import Claim, claims
from bench.advice.evidence import HEADLINE
from bench.advice.needs import NEEDS
from bench.outage import Outage
from bench.runs import kept_runs
from bench.store import Run
from tests.unit.test_advice import GRPC, KAFKA, KIB, RABBIT, REST, a_study, four, sizes

ROOT = Path(__file__).parents[2]


def about(found: Sequence[Claim], method: str, subject: str) -> list[tuple[str, str]]:
    return [(claim.kind, claim.text) for claim in found if (claim.method, claim.subject) == (method, subject)]


def test_the_soonest_has_a_pro_and_the_latest_a_con_with_number_and_ratios(tmp_path: Path) -> None:
    found, _ = claims(a_study(tmp_path, four(rest=2.0)))
    ((kind, text),) = about(found, REST, HEADLINE)
    assert kind == "pro"
    assert re.match(r"completes sooner at 150/s of 1KiB: 2\.\d+ ms \(1\.\d+ to 2\.\d+\), 0\.\d+ times gRPC's \(", text)
    ((kind, text),) = about(found, KAFKA, HEADLINE)
    assert kind == "con"
    assert text.count("times") == 3


def test_a_method_between_the_others_has_neither(tmp_path: Path) -> None:
    found, _ = claims(a_study(tmp_path, four(rest=2.0)))
    assert about(found, RABBIT, HEADLINE) == []


def test_no_difference_shown_is_neither_pro_nor_con(tmp_path: Path) -> None:
    found, _ = claims(a_study(tmp_path, four(3.0, 3.01, 3.02, 2.99)))
    assert not [claim for claim in found if claim.subject == HEADLINE]


def test_one_round_claims_nothing_of_speed(tmp_path: Path) -> None:
    found, _ = claims(a_study(tmp_path, four(), rounds=1))
    assert not [claim for claim in found if claim.run]


def test_bursts_are_a_subject_of_their_own(tmp_path: Path) -> None:
    cells = [*four(), *four(60, 61, 300, 20, arrivals="burst", rate_per_s=100.0)]
    found, _ = claims(a_study(tmp_path, cells))
    texts = [text for kind, text in about(found, KAFKA, HEADLINE) if kind == "pro"]
    assert len(texts) == 1
    assert texts[0].startswith("completes sooner at 100/s of 1KiB, in bursts of 10 times that: ")


def test_what_a_kib_more_adds_is_told_apart_by_the_slopes(tmp_path: Path) -> None:
    cells = sizes(KIB, 8 * KIB, 64 * KIB, 256 * KIB)
    found, _ = claims(a_study(tmp_path, cells))
    ((kind, text),) = about(found, REST, "a KiB more")
    assert kind == "pro"
    assert re.match(r"a KiB more \(json, document, at 150/s\) adds 5\d\.\d us \(", text)
    assert about(found, KAFKA, "a KiB more")[0][0] == "con"


def an_outage(**changes: Any) -> Outage:
    fields: dict[str, Any] = dict.fromkeys(Outage.__struct_fields__)
    fields |= {"cell": "rest@kill", "fault": "kill-payment", "began_s": 2.0, "back_s": 5.0, "failures": ""}
    fields |= {"planned": 500, "failed": 0, "unfinished": 0, "delayed": 0, "lost": 0, "asked_again": 0, "told_twice": 0}
    return Outage(**(fields | changes))


def test_an_outage_is_a_con_where_orders_failed_and_a_pro_where_only_others_did(tmp_path: Path) -> None:
    fault = {"fault": "kill-payment"}
    folders = a_study(tmp_path, [*four(), (REST, 3.0, fault), (RABBIT, 6.0, fault)])
    run = Run.open(folders["made-up"])
    for number in range(1, 7):
        run.add_outage(an_outage(round=number, slot=5, cell="rest@kill-payment", failed=100 + number))
        run.add_outage(an_outage(round=number, slot=6, cell="broker@kill-payment"))
    found, _ = claims(folders)
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
    run = Run.open(folders["made-up"])
    for slot, cell in ((2, "rest@delay-payment"), (3, "broker@delay-payment")):
        run.add_outage(an_outage(round=1, slot=slot, cell=cell, fault="delay-payment"))
    found, _ = claims(folders)
    assert not [claim for claim in found if claim.subject == "delay-payment"]


def test_a_promise_says_that_it_is_declared_and_which_test_shows_it(tmp_path: Path) -> None:
    found, _ = claims(a_study(tmp_path, four()))
    assert about(found, KAFKA, "replay") == [("pro", NEEDS["replay"].has)]
    assert about(found, GRPC, "browser") == [("con", NEEDS["browser"].lacks)]
    (claim,) = (one for one in found if (one.method, one.subject) == (KAFKA, "replay"))
    assert claim.source == f"declared; {NEEDS['replay'].shown_by}"


@pytest.fixture(scope="module")
def kept() -> tuple[list[Claim], list[str]]:
    return claims(kept_runs())


def test_every_claim_of_the_kept_runs_has_a_source_that_is_there(kept: tuple[list[Claim], list[str]]) -> None:
    found, left_out = kept
    assert left_out == []
    assert {claim.method for claim in found if claim.run} == {REST, GRPC, RABBIT, KAFKA}
    for claim in found:
        if claim.run:
            assert (kept_runs()[claim.run] / claim.source).is_file(), claim
            continue
        for file, test in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", claim.source):
            assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file(), claim
        assert "tests/" in claim.source or claim.source == "declared"


def test_every_measured_claim_of_the_kept_runs_says_its_number_and_interval(
    kept: tuple[list[Claim], list[str]],
) -> None:
    for claim in kept[0]:
        if claim.estimate is None:
            continue
        assert claim.estimate.value is not None, claim
        assert claim.estimate.low is not None, claim
        assert claim.estimate.high is not None, claim
        assert re.search(r"\d", claim.text)
