"""Tests the sentences that state a run's findings."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.report import style
from bench.report.findings import build_findings
from bench.report.run_view import read_run_view
from bench.results.histograms import Percentiles
from bench.results.rows import OutageRow
from bench.results.store import RunFolder
from tests.unit.builders import build_run, build_trial
from tests.unit.report.edge_cases import build_one_round, build_sixty_cells


def said(run: RunFolder) -> list[str]:
    return [str(sentence) for told in build_findings([read_run_view(run.path)]) for sentence in told.sentences]


@pytest.mark.parametrize(
    ("transport", "product", "name"),
    [
        ("rest", "none", "REST"),
        ("broker", "rabbitmq", "RabbitMQ"),
        ("broker", "kafka", "broker on Kafka"),
        ("events", "rabbitmq", "events on RabbitMQ"),
        ("events", "", "events"),
        ("broker+events", "", "broker+events"),
    ],
)
def test_a_method_is_called_by_its_product_where_that_is_known(transport: str, product: str, name: str) -> None:
    assert style.format_method_name(transport, product) == name


@pytest.mark.parametrize(
    ("cell", "name"), [("broker+kafka@kill-payment", "broker on Kafka@kill-payment"), ("rest:httpx", "REST:httpx")]
)
def test_a_cell_says_its_transport_itself(cell: str, name: str) -> None:
    assert style.format_cell_name(cell) == name


def a_design(root: Path, sizes: Sequence[int] = (1024,), **changes: Any) -> RunFolder:
    """Commands over Kafka in two formats, of which avro takes half."""
    run = RunFolder.create(root, "made-up", {"profile": {"designed": True}, "skipped": {}})
    for number in range(1, 7):
        for codec, took_us in (("json", 8000), ("avro", 4000)):
            for order_bytes in sizes:
                took = Percentiles(p50_us=took_us + order_bytes / 100 + number)
                cell = f"broker+kafka+{codec}@{order_bytes}"
                fields = {"cell": cell, "codec": codec, "order_bytes": order_bytes, "finish": took, "accept": took}
                run.add_trial(
                    build_trial(round=number, transport="broker", **({"product": "kafka"} | fields | changes)), {}
                )
    return run


def test_what_a_factor_does_is_said_of_the_product_that_was_measured(tmp_path: Path) -> None:
    (sentence,) = (one for one in said(a_design(tmp_path)) if "codec" in one)
    assert sentence.startswith("Over broker on Kafka, codec avro for json makes the median 0.50")


def test_what_a_factor_does_in_one_context_alone_is_said_of_that(tmp_path: Path) -> None:
    """Half as long at one rate and twice as long at another: in the mean nothing is shown."""
    run = RunFolder.create(tmp_path, "made-up", {"profile": {"designed": True}, "skipped": {}})
    for number in range(1, 8):
        for rate_per_s, times in ((60.0, 0.5), (400.0, 2.0)):
            for client, took_us in (("aiokafka", 8000.0), ("confluent", 8000.0 * times)):
                luck = (1.4 if number % 2 else 0.7) if (client, rate_per_s) == ("confluent", 400.0) else 1.0
                fields = {"cell": f"events:{client}@{rate_per_s:g}", "client": client, "rate_per_s": rate_per_s}
                took = Percentiles(p50_us=took_us * luck + number)
                run.add_trial(build_trial(round=number, transport="events", product="kafka", finish=took, **fields), {})
    sentences = said(run)
    assert "client confluent for aiokafka: no difference shown, over Kafka." in sentences
    (half,) = [one for one in sentences if one.startswith("Over Kafka at rate_per_s 60, client confluent for aiokafka")]
    assert re.search(r"makes the median 0\.\d+ \(.*\) times as long\.$", half)


def test_of_a_run_with_faults_no_median_is_set_against_another(tmp_path: Path) -> None:
    """Orders that failed are in none, so that a method which lost half of them may have the shorter one."""
    run = a_design(tmp_path, fault="stop-payment")
    assert not [sentence for sentence in said(run) if "codec avro" in sentence]


def test_fewer_bytes_are_told_of_a_format(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {"designed": True}, "skipped": {}})
    for number in range(1, 7):
        for codec, size_bytes in (("json", 9000.0), ("avro", 4500.0)):
            took = Percentiles(p50_us=5000.0 + number)
            fields = {"cell": f"rest+{codec}", "codec": codec, "wire_bytes_per_order": size_bytes + number}
            run.add_trial(build_trial(round=number, transport="rest", finish=took, accept=took, **fields), {})
    assert (
        "Over REST, codec avro for json makes an order's bytes on the wire 0.500 (0.500 to 0.500) times as many."
        in said(run)
    )


def test_what_a_kib_more_adds_is_said_of_the_product_that_was_measured(tmp_path: Path) -> None:
    lines = [one for one in said(a_design(tmp_path, (1024, 4096, 16384))) if "a KiB more" in one]
    assert len(lines) == 2
    assert all(one.startswith("Over broker on Kafka (codec ") for one in lines)


def test_ratios_that_have_no_chart_are_not_said_to_stand_in_one(tmp_path: Path) -> None:
    run = build_sixty_cells(tmp_path)
    assert "45 ratios to REST, measured alike, stand in summary.json: they are too many for a chart." in said(run)


def test_ratios_that_have_a_chart_are_said_to_stand_there(tmp_path: Path) -> None:
    others = {f"grpc@{number}": ("grpc", "grpcio", "protobuf", 1.0, 5.0) for number in range(9)}
    run = build_run(tmp_path, cells={"rest": ("rest", "aiohttp", "json", 1.0, 5.0), **others})
    assert "9 ratios to REST, measured alike, stand in the chart below." in said(run)


def an_outage(**changes: Any) -> OutageRow:
    fields = {"fault": "kill-payment", "fault_begin_s": 2.0, "fault_end_s": 5.0}
    fields |= {"planned": 100, "failed": 0, "unfinished": 0}
    fields |= {"lost": 0, "delayed": 0, "before_p50_us": 5000.0, "during_p50_us": 9000.0, "longest_us": 1e6}
    fields |= {"backlog_drained_s": 0.5, "recovery_time_s": 0.25}
    return OutageRow(**(fields | changes))


def test_an_outage_is_told_of_each_method_with_its_own_time_and_with_what_failed_or_was_lost(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {}, "skipped": {}})
    for number in range(1, 7):
        for slot, (transport, ends) in enumerate(
            (("rest", {"failed": 30}), ("events", {"fault_end_s": 8.0, "unfinished": 3, "lost": 2})), 1
        ):
            cell = f"{transport}@kill-payment"
            where = {"round": number, "slot": slot, "cell": cell}
            run.add_outage(an_outage(**where, **ends))
            run.add_trial(build_trial(**where, transport=transport, fault="kill-payment"), {})
    (sentence,) = (one for one in said(run) if one.startswith("kill-payment: "))
    assert sentence == (
        "kill-payment: REST for 3.00 s, of 600 orders 180 failed, as before after "
        "0.250 s (0.250 to 0.250); Kafka for 6.00 s, of 600 orders 18 unfinished, 12 lost, as before "
        "after 0.250 s (0.250 to 0.250)."
    )


def test_what_nobody_knows_to_be_lost_is_not_called_nothing(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {}, "skipped": {}})
    where = {"round": 1, "slot": 1, "cell": "rest@kill-payment"}
    run.add_outage(an_outage(**where, lost=None))
    run.add_trial(build_trial(**where, fault="kill-payment"), {})
    assert any("of 100 orders unknown lost" in one for one in said(run))


def test_of_an_outage_that_harmed_no_order_it_is_said_that_all_finished(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {}, "skipped": {}})
    where = {"round": 1, "slot": 1, "cell": "rest@kill-payment"}
    run.add_outage(an_outage(**where))
    run.add_trial(build_trial(**where, fault="kill-payment"), {})
    assert any("all 100 orders finished" in one for one in said(run))


def test_brackets_are_spoken_of_only_where_there_are_some(tmp_path: Path) -> None:
    (few,) = (one for one in said(build_one_round(tmp_path / "few")) if "the median order over REST" in one)
    assert few.endswith("; over 1 trial, too few for intervals.")
    (enough,) = (one for one in said(build_run(tmp_path / "enough")) if "the median order over REST" in one)
    assert re.search(r"; in brackets 95 % intervals over [6-9] trials\.$", enough)
