"""Tests advice on rates from capacity searches, and the wording of the first place."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.advise.evidence import collect_evidence
from tests.unit.advise.test_ranking import (
    CODECS,
    COMMANDS_ON_KAFKA,
    GRPC,
    KAFKA,
    KIB,
    RABBIT,
    REST,
    a_study,
    ask,
    find_names,
    four,
    one_line,
    places,
)


def searched(folders: Mapping[str, Path], **answers: tuple[float, float] | None) -> Mapping[str, Path]:
    """With searches in the first run: by method the last rate that passed and the first that failed."""
    rows = ["cell,transport,client,codec,slo_p99_ms,answer,last_pass_per_s,first_fail_per_s,trials,reason"]
    for method, ends in answers.items():
        answer, passed, failed = ("capacity", *ends) if ends else ("none", "", "")
        transport = re.split("[:+]", method)[0]
        rows.append(f"{method},{transport},a-client,{CODECS[transport]},100,{answer},{passed},{failed},20,x")
    next(iter(folders.values())).joinpath("capacity.csv").write_text("\n".join(rows) + "\n")
    return folders


SEARCHED = {"payload_bytes": KIB, "shape": "document", "security": "none", "durability": "fast"}


def test_a_rate_that_a_method_did_not_carry_puts_it_behind_those_that_did(tmp_path: Path) -> None:
    cells = [*four(rate_per_s=200.0), (KAFKA, 25.0, {"rate_per_s": 1000.0}), (KAFKA, 28.0, {"rate_per_s": 1200.0})]
    folders = a_study(tmp_path, cells, profile=SEARCHED)
    advice = ask(searched(folders, rest=(950, 980), grpc=(620, 650), broker=None, events=(2300, 2400)), RATE="1000")
    # RabbitMQ's search had no answer, so that it is judged by the rate at which it was measured.
    assert places(advice) == {RABBIT: 1, KAFKA: 2, REST: 2, GRPC: 2}
    assert re.search(r"REST [a-z ]+ 980/s .*100 ms; 950/s .*\(made-up\)", one_line(advice))
    assert find_names(advice.answer) == ["RabbitMQ", "REST", "gRPC"]
    assert "first" in advice.answer


def test_a_search_with_compression_says_nothing_of_the_method_without_it(tmp_path: Path) -> None:
    cells = [*four(), (REST, 2.0, {"cell": "rest+gzip@50", "compression": "gzip"})]
    folders = a_study(tmp_path, cells, profile=SEARCHED)
    found = collect_evidence(searched(folders, **{"rest+gzip": (900, 930), KAFKA: (500, 520)}))
    assert [capacity.method.name for capacity in found.capacities] == [KAFKA]


@pytest.mark.parametrize(
    ("rate", "names", "said"),
    [
        ("2000", ["Kafka"], "alone"),
        ("5000", ["REST", "gRPC"], "No method"),
        ("700", ["REST", "gRPC", "RabbitMQ"], "soonest"),
    ],
)
def test_the_answer_says_of_nobody_that_it_carries_what_it_was_not_seen_to(
    tmp_path: Path, rate: str, names: list[str], said: str
) -> None:
    folders = a_study(tmp_path, four(rate_per_s=200.0), profile=SEARCHED)
    searched(folders, rest=(950, 980), grpc=(620, 650), broker=(500, 520), events=(2300, 2400))
    advice = ask(folders, RATE=rate)
    assert find_names(advice.answer) == names
    assert f"{rate}/s" in advice.answer
    assert said in advice.answer
    assert not advice.whole


def test_the_first_is_not_called_soonest_where_it_is_not_shown_ahead_of_all_others(tmp_path: Path) -> None:
    (one,) = a_study(tmp_path / "one", [(REST, 3.0, {}), (RABBIT, 6.0, {})]).values()
    (other,) = a_study(tmp_path / "other", [(RABBIT, 6.0, {}), (KAFKA, 12.0, {})]).values()
    advice = ask({"one": one, "other": other})
    assert places(advice) == {REST: 1, RABBIT: 2, KAFKA: 2}
    assert find_names(advice.answer) == ["REST", "Kafka"]
    assert "soonest" not in advice.answer


def test_a_method_over_another_product_that_the_nearest_run_has_not_is_named_and_not_placed(tmp_path: Path) -> None:
    near = a_study(tmp_path / "near", four())
    far = a_study(tmp_path / "far", [*four(rate_per_s=60.0), (COMMANDS_ON_KAFKA, 1.0, {"rate_per_s": 60.0})])
    advice = ask({"near": near["made-up"], "far": far["made-up"]})
    assert COMMANDS_ON_KAFKA not in places(advice)
    assert [view.run for view in advice.views] == ["near"]
    assert advice.excluded == (COMMANDS_ON_KAFKA,)
    assert re.search(r"Not placed[^:]*: broker on Kafka;", one_line(advice))


def test_it_is_placed_where_its_own_product_is_ruled_out(tmp_path: Path) -> None:
    near = a_study(tmp_path / "near", four())
    far = a_study(tmp_path / "far", [*four(rate_per_s=60.0), (COMMANDS_ON_KAFKA, 1.0, {"rate_per_s": 60.0})])
    advice = ask({"near": near["made-up"], "far": far["made-up"]}, NEEDS="replay")
    assert COMMANDS_ON_KAFKA in places(advice)
