"""Tests the ranking on made-up data with a known answer, and on results/reference."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.advise.evidence import HEADLINE, collect_evidence
from bench.advise.nearest import estimate_at, find_nearest_bursts
from bench.advise.question import parse_question
from bench.advise.ranking import Advice, advise
from bench.advise.terminal import render_advice
from bench.errors import ResultsError
from bench.paths import ROOT
from bench.results.histograms import Percentiles
from bench.results.store import RunFolder
from bench.stats.equivalence import Verdict, classify_ratio
from tests.conftest import refuses
from tests.unit.advise.kept import collect_kept_evidence
from tests.unit.builders import build_trial

REST, GRPC, RABBIT, KAFKA = "rest", "grpc", "broker", "events"
COMMANDS_ON_KAFKA, EVENTS_ON_RABBIT = "broker+kafka", "events+rabbitmq"
CODECS = {REST: "json", GRPC: "protobuf", RABBIT: "json", KAFKA: "json"}
LUCK = (1.0, 1.06, 0.95, 1.02, 0.98, 1.04)


def a_study(
    root: Path, cells: Sequence[tuple[str, float, Mapping[str, Any]]], rounds: int = 6, **manifest: Any
) -> Mapping[str, Path]:
    """A run "made-up" of cells: a method, its median completion in ms, and what else differs from the default."""
    run = RunFolder.create(root, "made-up", {"profile": {"burst": {"peak": 10.0}}, **manifest})
    for number in range(1, rounds + 1):
        for slot, (method, finish_ms, changes) in enumerate(cells, 1):
            transport = re.split("[:+]", method)[0]
            took = finish_ms * 1000 * LUCK[number - 1] * (1 + 0.01 * ((number * slot) % 3))
            at = Percentiles(p50_us=took, p99_us=3 * took)
            brokered = transport in (RABBIT, KAFKA)
            accept = Percentiles(p50_us=500.0 * LUCK[-number], p99_us=900) if brokered else at
            names = "_".join(str(value) for value in changes.values() if not isinstance(value, Percentiles))
            row = {
                "cell": f"{method}@{names}" if names else method,
                "transport": transport,
                "codec": CODECS[transport],
                "arrivals": "poisson",
                "finish": at,
                "accept": accept,
                "cpu_us_per_order_broker": 900.0 if brokered else None,
                "wire_bytes_per_order": 6000.0,
                **changes,
            }
            run.add_trial(build_trial(round=number, slot=slot, **row), {})
    return {"made-up": run.path}


def four(rest: float = 3.0, grpc: float = 3.05, rabbit: float = 6.0, kafka: float = 12.0, **changes: Any) -> list[Any]:
    return [(REST, rest, changes), (GRPC, grpc, changes), (RABBIT, rabbit, changes), (KAFKA, kafka, changes)]


def ask(folders: Mapping[str, Path], **words: str) -> Advice:
    return advise(parse_question(words), collect_evidence(folders))


def places(advice: Advice) -> dict[str, int]:
    return {placed.method: placed.place for placed in advice.placed}


def text(advice: Advice, width: int = 80) -> str:
    console = Console(width=width, color_system=None, file=(out := io.StringIO()))
    console.print(render_advice(advice), highlight=False)
    return out.getvalue()


def find_names(sentence: str) -> list[str]:
    """Methods as people know them, in the order in which a sentence names them."""
    return re.findall(r"broker on Kafka|events on RabbitMQ|REST|gRPC|RabbitMQ|Kafka", sentence)


def one_line(advice: Advice) -> str:
    return " ".join(text(advice, 1000).split())


def test_methods_are_placed_by_completion_and_a_tie_is_called_one(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()))
    assert places(advice) == {REST: 1, GRPC: 1, RABBIT: 3, KAFKA: 4}
    assert find_names(advice.answer) == ["REST", "gRPC"]
    assert " tie" in advice.answer
    assert advice.not_measured == ()


def test_a_method_that_is_shown_to_be_soonest_is_named_alone(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four(rest=2.0)))
    assert places(advice)[REST] == 1
    assert find_names(advice.answer) == ["REST"]
    assert "soonest" in advice.answer


def test_what_a_later_method_gains_is_said_with_its_interval(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()))
    rabbit = next(placed for placed in advice.placed if placed.method == RABBIT)
    assert {trade.metric: trade.gain for trade in rabbit.trades} == {
        "accept_p50_us": True,
        HEADLINE: False,
        "finish_p99_us": False,
        "cpu_us_per_order": False,
    }
    assert re.search(r"RabbitMQ gains: accepts sooner: 0\.1\d+ times \(0\.1\d+ to 0\.\d+\)\.", one_line(advice))


def test_an_unmet_need_rules_a_method_out_and_says_which(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()), NEEDS="replay,ordered")
    assert places(advice) == {KAFKA: 1}
    assert find_names(advice.answer) == ["Kafka"]
    assert "(replay)" in advice.ruled_out[RABBIT]
    assert "(ordered)" in advice.ruled_out[RABBIT]
    assert "(ordered)" not in advice.ruled_out[REST]


def test_a_method_over_another_product_is_a_method_of_its_own(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, [*four(), (COMMANDS_ON_KAFKA, 9.0, {})]))
    assert places(advice) == {REST: 1, GRPC: 1, RABBIT: 3, COMMANDS_ON_KAFKA: 4, KAFKA: 5}
    assert re.search(r"broker on Kafka costs: [a-z ]+: 3\.0", one_line(advice))


def test_what_a_method_lacks_follows_from_the_product_that_carries_it(tmp_path: Path) -> None:
    cells = [*four(), (COMMANDS_ON_KAFKA, 9.0, {}), (EVENTS_ON_RABBIT, 7.0, {})]
    advice = ask(a_study(tmp_path, cells), NEEDS="replay")
    assert places(advice) == {COMMANDS_ON_KAFKA: 1, KAFKA: 2}
    assert "(replay)" in advice.ruled_out[EVENTS_ON_RABBIT]
    assert "events on RabbitMQ is ruled out" in one_line(advice)


def test_of_an_a_a_run_the_second_arm_is_not_taken_and_of_another_everything_is(tmp_path: Path) -> None:
    arms = [(method, ms, {"cell": f"{method}@{arm}"}) for method, ms in ((REST, 3.0), (KAFKA, 9.0)) for arm in "ab"]
    found = collect_evidence(a_study(tmp_path / "arms", arms, profile={"arms": 2}))
    assert [point.cell for point in found.points] == ["rest@a", "events@a"]
    found = collect_evidence(a_study(tmp_path / "cells", arms, profile={"arms": 1}))
    assert [point.cell for point in found.points] == ["rest@a", "rest@b", "events@a", "events@b"]


def test_where_a_brokers_cpu_was_not_measured_the_total_is_not_known_and_nobody_gains_by_it(tmp_path: Path) -> None:
    cells = [(REST, 3.0, {}), (RABBIT, 6.0, {"cpu_us_per_order_broker": None, "cpu_us_per_order_services": 900.0})]
    advice = ask(a_study(tmp_path, cells))
    assert advice.views[0].rows[REST].metrics["cpu_us_per_order"].value == 2410.0
    assert advice.views[0].rows[RABBIT].metrics["cpu_us_per_order"].value is None
    rabbit = next(placed for placed in advice.placed if placed.method == RABBIT)
    assert "cpu_us_per_order" not in {trade.metric for trade in rabbit.trades}


def test_when_no_method_has_what_is_needed_there_is_no_advice(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()), NEEDS="replay,browser")
    assert find_names(advice.answer) == []
    assert advice.ruled_out.keys() == {REST, GRPC, RABBIT, KAFKA}
    assert "is ruled out" in text(advice)


def sizes(*bytes_: int, rate: float = 150.0, **changes: Any) -> list[Any]:
    """Completion of REST 4 ms and 0.05 ms a KiB, of Kafka 9 ms and 0.1 ms a KiB."""
    return [
        (method, at_0 + per_kib * size / 1024, {"order_bytes": size, "rate_per_s": rate, **changes})
        for size in bytes_
        for method, at_0, per_kib in ((REST, 4.0, 0.05), (KAFKA, 9.0, 0.1))
    ]


KIB = 1024


def test_between_measured_sizes_a_line_is_laid_and_said(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, sizes(KIB, 8 * KIB, 64 * KIB, 256 * KIB)), SIZE="32KiB")
    (view,) = advice.views
    row = view.rows[REST]
    assert row.metrics[HEADLINE].value == pytest.approx(1000 * (4 + 0.05 * 32), rel=0.05)
    assert row.line == "1KiB, 8KiB, 64KiB, 256KiB"
    assert row.trials is None
    assert places(advice) == {REST: 1, KAFKA: 2}
    assert row.line in one_line(advice)


def test_a_size_that_was_measured_in_enough_rounds_is_taken_as_it_was_measured(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, sizes(KIB, 8 * KIB, 64 * KIB)), SIZE="8KiB")
    assert advice.views[0].rows[REST].line == ""


def test_a_size_that_was_measured_in_too_few_rounds_is_put_on_the_line_through_it(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, sizes(KIB, 8 * KIB, 64 * KIB), rounds=3), SIZE="8KiB")
    assert advice.views[0].rows[REST].line == "1KiB, 8KiB, 64KiB"
    assert advice.views[0].rows[REST].metrics[HEADLINE].low is not None


@pytest.mark.parametrize(
    ("size", "nearest"),
    [("2MiB", "256KiB"), ("200B", "1KiB")],
)
def test_outside_of_what_was_measured_nothing_is_extrapolated(tmp_path: Path, size: str, nearest: str) -> None:
    advice = ask(a_study(tmp_path, sizes(KIB, 8 * KIB, 64 * KIB, 256 * KIB)), SIZE=size)
    (missing,) = advice.not_measured
    assert f"SIZE={size} " in missing
    assert f" {nearest}." in missing
    assert all("size_bytes" not in view.matched_axes for view in advice.views)
    assert not advice.whole
    assert len(advice.answer.split(". ")) == 2
    assert f"instead of {size}" in text(advice, 200)


@pytest.mark.parametrize("size", ["1KiB", "256KiB"])
def test_at_the_edge_the_measured_place_itself_is_taken(tmp_path: Path, size: str) -> None:
    advice = ask(a_study(tmp_path, sizes(KIB, 8 * KIB, 256 * KIB), rounds=3), SIZE=size)
    row = advice.views[0].rows[REST]
    assert (row.line, row.metrics[HEADLINE].n) == ("", 3)
    assert advice.whole


def test_where_the_long_line_bends_the_short_one_between_the_nearest_places_is_taken(tmp_path: Path) -> None:
    bent = [(REST, ms, {"order_bytes": size}) for size, ms in ((KIB, 4.0), (8 * KIB, 40.0), (64 * KIB, 41.0))]
    found = collect_evidence(a_study(tmp_path, bent))
    place = found.points[0].place
    row = estimate_at(found.points, type(place)(**{**_fields(place), "size_bytes": 16 * KIB}))
    assert row is not None
    assert row.line == "8KiB, 64KiB"


def _fields(place: Any) -> dict[str, Any]:
    return {name: getattr(place, name) for name in place.__dataclass_fields__}


def test_sizes_and_rates_that_were_measured_apart_are_two_views_and_no_whole(tmp_path: Path) -> None:
    cells = [*sizes(KIB, 8 * KIB, 64 * KIB, rate=5.0), *four(rate_per_s=200.0)]
    advice = ask(a_study(tmp_path, cells), SIZE="64KiB", RATE="200")
    assert any("SIZE=64KiB and RATE=200 " in missing for missing in advice.not_measured)
    assert {(view.place.size_bytes, view.place.rate_per_s) for view in advice.views} == {(64 * KIB, 5.0), (KIB, 200.0)}
    assert not advice.whole


def test_a_method_that_is_sooner_in_one_view_and_later_in_another_is_not_placed_behind(tmp_path: Path) -> None:
    cells = [
        (REST, 3.0, {"order_bytes": KIB, "rate_per_s": 200.0}),
        (KAFKA, 9.0, {"order_bytes": KIB, "rate_per_s": 200.0}),
        (REST, 90.0, {"order_bytes": 64 * KIB, "rate_per_s": 5.0}),
        (KAFKA, 30.0, {"order_bytes": 64 * KIB, "rate_per_s": 5.0}),
    ]
    assert places(ask(a_study(tmp_path, cells), SIZE="64KiB", RATE="200")) == {REST: 1, KAFKA: 1}


def test_security_and_durability_that_were_not_measured_are_said_and_not_guessed(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()), SECURITY="mtls", DURABILITY="safe")
    for asked_for, measured in (("SECURITY=mtls ", " none."), ("DURABILITY=safe ", " fast.")):
        assert any(asked_for in missing and missing.endswith(measured) for missing in advice.not_measured)
    assert "fast instead of safe" in text(advice, 200)


def test_classes_of_durability_are_never_set_against_each_other(tmp_path: Path) -> None:
    safe = {"durability": "safe", "store": "sqlite"}
    advice = ask(a_study(tmp_path, [(REST, 3.0, {}), (KAFKA, 9.0, safe)]))
    assert all(len(view.rows) == 1 for view in advice.views)
    assert places(advice) == {REST: 1, KAFKA: 1}
    assert "not told apart" in advice.answer


def test_a_burst_between_two_that_were_measured_is_shown_from_either_side(tmp_path: Path) -> None:
    cells = [*four(), *four(60, 61, 300, 20, arrivals="burst")]
    advice = ask(a_study(tmp_path, cells), BURST="5")
    assert {view.place.burst for view in advice.views} == {1.0, 10.0}
    assert any("BURST=5 " in missing and missing.endswith(" 1, 10.") for missing in advice.not_measured)
    assert places(advice)[KAFKA] == 1  # last without bursts and first in them


def test_a_burst_that_was_measured_is_taken_alone(tmp_path: Path) -> None:
    cells = [*four(), *four(60, 61, 300, 20, arrivals="burst")]
    advice = ask(a_study(tmp_path, cells), BURST="10")
    assert [view.place.burst for view in advice.views] == [10.0]
    assert places(advice) == {KAFKA: 1, REST: 2, GRPC: 2, RABBIT: 4}


@given(st.floats(1, 50), st.sets(st.floats(1, 50), min_size=1))
def test_the_nearest_bursts_are_measured_or_asked_and_close_around_it(asked_: float, measured: set[float]) -> None:
    near = find_nearest_bursts(asked_, measured) - {1.0}
    assert near <= measured | {asked_}
    assert asked_ not in measured or near <= {asked_}
    assert not [at for at in measured for other in near if asked_ < at < other or other < at < asked_]


def test_in_a_format_that_only_some_have_the_others_are_not_put_beside_them(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four()), FORMAT="protobuf")
    whole = [view for view in advice.views if "format" in view.matched_axes]
    assert [set(view.rows) for view in whole] == [{GRPC}]
    assert "than protobuf" in text(advice, 200)
    assert not advice.whole


def test_without_a_format_each_method_has_its_own(tmp_path: Path) -> None:
    cells = [*four(), (GRPC, 1.0, {"codec": "json"})]
    advice = ask(a_study(tmp_path, cells))
    assert {method: row.codec for method, row in advice.views[0].rows.items()} == CODECS


def test_invalid_cells_are_left_out_and_said(tmp_path: Path) -> None:
    cells = four()
    cells[0] = (REST, 3.0, {"valid": False})
    advice = ask(a_study(tmp_path, cells))
    assert REST not in places(advice)
    (left_out,) = advice.left_out
    assert left_out.startswith("made-up: rest@False ")
    assert "0 of its 6 trials" in left_out


def test_one_method_alone_is_no_winner(tmp_path: Path) -> None:
    answer = ask(a_study(tmp_path, [(REST, 3.0, {})])).answer
    assert find_names(answer) == ["REST"]
    assert "only choice" in answer


def test_one_round_tells_nothing_apart(tmp_path: Path) -> None:
    advice = ask(a_study(tmp_path, four(), rounds=1))
    assert set(places(advice).values()) == {1}
    assert "tie" in advice.answer


def test_a_method_of_which_all_orders_failed_comes_last_with_its_failures(tmp_path: Path) -> None:
    never = Percentiles(p50_us=math.inf, p99_us=math.inf)
    failing = {"finish": never, "accept": never, "failed": 900, "finished": 0, "complete": False}
    advice = ask(a_study(tmp_path, [*four()[:3], (KAFKA, 1.0, failing)]))
    assert places(advice)[KAFKA] == 4
    assert "5,400" in text(advice)
    assert "∞" in text(advice)


def test_it_reads_eighty_columns_wide_without_cutting_a_number(tmp_path: Path) -> None:
    said = text(ask(a_study(tmp_path, four(2993.4, 4000, 11111.5, 23456.7))))
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80


GOLDEN = ROOT / "tests" / "unit" / "golden"


def test_what_is_said_of_made_up_data_is_what_was_read_and_approved(tmp_path: Path) -> None:
    """After a change that is meant, read what it says now and write it into the file."""
    cells = [*sizes(KIB, 8 * KIB, 64 * KIB, rate=5.0), *four(rate_per_s=200.0)]
    said = text(ask(a_study(tmp_path, cells), SIZE="32KiB", RATE="200", SECURITY="tls", NEEDS="ordered"))
    lines = [line.rstrip() for line in said.splitlines()]
    assert lines == (GOLDEN / "advice.txt").read_text().splitlines()


def test_a_damaged_run_is_left_out_beside_others_and_an_error_alone(tmp_path: Path) -> None:
    whole, other = a_study(tmp_path / "a", four()), a_study(tmp_path / "b", four())
    (other["made-up"] / "trials.csv").write_text("round,slot\n1\n")
    advice = ask({"whole": whole["made-up"], "damaged": other["made-up"]})
    assert places(advice)[REST] == 1
    assert "row 1:" in " ".join(advice.left_out)
    with refuses("no-run-readable", "trials.csv", "row 1:", kind=ResultsError):
        collect_evidence(other)


@pytest.mark.parametrize(
    ("manifest", "name"),
    [("{", "manifest.json"), ('{"schema_version": 99}', "99"), (None, "manifest.json")],
)
def test_a_folder_that_is_no_run_is_an_error_that_names_it(tmp_path: Path, manifest: str | None, name: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with refuses("no-run-readable", str(tmp_path), name, kind=ResultsError):
        collect_evidence({"x": tmp_path})


def test_a_run_of_which_nothing_bears_on_any_question_is_an_error(tmp_path: Path) -> None:
    with refuses("no-run-readable", "made-up", kind=ResultsError):
        collect_evidence(a_study(tmp_path, [(REST, 3.0, {"fault": "stop-payment"})]))


@pytest.mark.slow
@pytest.mark.reference
@settings(max_examples=12, deadline=None)
@given(
    size=st.sampled_from(["100B", "200B", "1KiB", "3KiB", "64KiB", "1MiB", "2MiB"]),
    rate=st.sampled_from(["1", "5", "50", "120", "150", "300", "1000", "5000"]),
    burst=st.sampled_from(["1", "3", "10", "20"]),
    format_=st.sampled_from(["", "json", "protobuf", "avro"]),
    needs=st.sampled_from(["", "replay", "ordered,redelivery", "browser", "d2", "queued"]),
)
def test_whatever_is_asked_of_the_kept_runs_an_answer_holds_together(
    size: str, rate: str, burst: str, format_: str, needs: str
) -> None:
    known = collect_kept_evidence()  # no fixture: Hypothesis would write all of it beside a failing example
    words = {"SIZE": size, "RATE": rate, "BURST": burst, "FORMAT": format_, "NEEDS": needs}
    advice = advise(parse_question({word: value for word, value in words.items() if value}), known)
    there = {*places(advice), *advice.ruled_out, *advice.unmeasured, *advice.excluded}
    assert there == set(known.methods)
    assert advice.whole or advice.not_measured or not advice.placed or len(advice.views) > 1
    for view in advice.views:
        measured = [point.place.size_bytes for point in known.points if point.run == view.run]
        assert min(measured) <= view.place.size_bytes <= max(measured)
    for placed in advice.placed:
        assert placed.place == 1 + len(placed.behind)
        for ahead in placed.behind:
            both = [view for view in advice.views if {ahead, placed.method} <= view.rows.keys()]
            sides = {classify_ratio(view.ratio(HEADLINE, placed.method, ahead)) for view in both}
            assert placed.overloaded or (Verdict.MORE in sides and Verdict.LESS not in sides)
    assert text(advice)
