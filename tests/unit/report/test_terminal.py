"""Tests the results table on the terminal."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.report.formatting import format_number
from bench.report.terminal.hops import hops_table
from bench.report.terminal.run import render_run
from bench.results.caveats import not_steady
from bench.results.histograms import Percentiles
from bench.results.rows import HopRow
from bench.results.store import RunFolder
from tests.unit.builders import build_run, build_trial


def shown(run: RunFolder, width: int = 80) -> str:
    console = Console(width=width, color_system=None, file=(out := io.StringIO()))
    console.print(render_run(run.summary(), run.manifest))
    return out.getvalue()


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "run", {})


def test_every_cell_has_a_row_with_client_and_codec(tmp_path: Path) -> None:
    text = shown(build_run(tmp_path))
    for word in ("rest", "aiohttp", "grpc+json", "protobuf", "broker", "aio-pika", "events", "aiokafka", "6/6"):
        assert word in text


def test_it_fits_eighty_columns_without_cutting_a_number(tmp_path: Path) -> None:
    text = shown(build_run(tmp_path))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_with_six_rounds_intervals_stand_below_the_medians(tmp_path: Path) -> None:
    text = shown(build_run(tmp_path))
    assert "no-interval" not in text
    assert re.search(r"aiohttp +(\d+\.\d+- +){4}", text)


def test_with_one_round_it_says_what_would_give_an_interval(tmp_path: Path) -> None:
    text = one_line(shown(build_run(tmp_path, rounds=1)))
    assert "no 95 % interval" in text
    assert "Next: measure with ROUNDS=6 or more" in text


def test_ratios_name_method_and_format(tmp_path: Path) -> None:
    text = one_line(shown(build_run(tmp_path)))
    assert "grpc (protobuf) finishes in" in text
    assert "grpc (json) finishes in" in text
    assert "times the time of rest (json) at p50, durability fast (95 % interval" in text


def test_an_interval_that_holds_one_is_called_no_difference(run: RunFolder) -> None:
    for number in range(1, 7):
        run.add_trial(build_trial(round=number), {})
        near = Percentiles(p50_us=5300 + (-1) ** number * 100)
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc", finish=near), {})
    assert "no difference shown" in one_line(shown(run))


def test_a_ratio_with_a_censored_round_has_no_upper_end(run: RunFolder) -> None:
    for number in range(1, 7):
        run.add_trial(build_trial(round=number), {})
        slow = Percentiles(p50_us=math.inf if number == 1 else 10600)
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc", finish=slow), {})
    assert (
        "finishes in 2.00 times the time of rest (json) at p50, durability fast (95 % interval 2.00 to ∞)"
        in one_line(shown(run))
    )


def test_an_invalid_cell_says_so_in_its_row_and_below(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.add_trial(build_trial(slot=2, cell="grpc", transport="grpc", valid=False), {})
    assert shown(run).count("INVALID") == 2
    assert "INVALID, so shown and not compared: grpc;" in one_line(shown(run))


def test_an_invalid_cell_with_an_interval_is_not_said_to_lack_one(run: RunFolder) -> None:
    for number in range(1, 7):
        run.add_trial(build_trial(round=number, valid=number < 4), {})
    assert "no-interval" not in shown(run)


def test_losses_stand_in_the_row(run: RunFolder) -> None:
    run.add_trial(build_trial(failed=1200, unfinished=34, lost=12, valid=False), {})
    text = shown(run)
    assert "1,234" in text
    assert "12 lost" in text
    assert "0/1" in text


def test_a_censored_percentile_is_infinite_and_a_missing_one_is_not_available(run: RunFolder) -> None:
    run.add_trial(build_trial(accept=Percentiles(p50_us=100), finish=Percentiles(p50_us=100, p99_us=math.inf)), {})
    row = next(line for line in shown(run).splitlines() if line.startswith("rest"))
    assert row.split()[1:5] == ["0.100", "n/a", "0.100", "∞"]


def test_what_an_accepted_order_survives_is_said_once_for_methods_that_agree(tmp_path: Path) -> None:
    traits = {"rest": {"survives": "D0: no"}, "grpc": {"survives": "D0: no"}, "broker": {"survives": "D1: some"}}
    text = shown(build_run(tmp_path, traits=traits), width=400)
    assert "What an accepted order survives, durability fast: rest and grpc, D0: no. broker, D1: some." in text


def test_a_skipped_transport_says_why(tmp_path: Path) -> None:
    run = build_run(tmp_path, rounds=1, skipped={"events": "there is no Java [17]; type `apt-get install x`"})
    assert "events skipped: there is no Java [17]; type `apt-get install x`" in one_line(shown(run))


def test_a_doubt_is_marked_at_the_cell_it_touches(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.add_trial(build_trial(slot=2, cell="grpc", transport="grpc", caveats=(not_steady(10.0),)), {})
    text = one_line(shown(run))
    assert "grpc (2)" in text
    assert "rest (" not in text.split("finishes")[0]
    assert "(2) unsteady: " in text
    assert "10.0 s" in text


def test_a_run_without_trials_is_shown_too(run: RunFolder) -> None:
    assert "method" in shown(run)


@given(st.floats(1e-6, 1e9))
def test_three_digits_are_kept_and_no_exponent_is_shown(number: float) -> None:
    text = format_number(number)
    assert float(text.replace(",", "")) == pytest.approx(number, rel=0.0051)
    assert "e" not in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.4512, "0.451"), (5.305, "5.30"), (9.999, "10.0"), (11, "11.0"), (719.6, "720"), (1441.0, "1,440")],
)
def test_numbers_are_written_as_people_read_them(number: Any, text: str) -> None:
    assert format_number(number) == text


def test_how_long_the_services_took_to_start_is_said(run: RunFolder) -> None:
    for round_, ready_s in enumerate((1.5, 1.62, 1.9), 1):
        run.add_trial(build_trial(round=round_, ready_s=ready_s), {})
    assert "probe order through all of them: rest 1.62 s." in " ".join(shown(run).split())


def test_what_is_burnt_without_any_load_is_said_apart_in_the_order_of_the_cells(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.update_manifest(
        cells=[{"name": "rest"}, {"name": "broker@50"}, {"name": "broker@100"}],
        idle_cpu_ms_per_s={"broker": {"services": 9, "broker": 21.5}, "rest": {"services": 8.04}},
    )
    assert "in ms of CPU: rest 8.04 services, broker 9.00 services and 21.5 broker;" in " ".join(shown(run).split())


def test_where_nothing_burns_without_load_nothing_is_said(run: RunFolder) -> None:
    run.add_trial(build_trial(), {})
    run.update_manifest(cells=[{"name": "memory"}], idle_cpu_ms_per_s={"memory": {}})
    assert "Without any load" not in shown(run)


def test_hops_are_medians_over_trials_of_what_an_order_spends_at_a_service(run: RunFolder) -> None:
    for round_, mean_us in enumerate((10.0, 20.0, 90.0), 1):
        steps = [
            HopRow(number=number, service=service, message="m", part="handle", n=5, mean_us=mean_us, p50_us=1.0)
            for number, service in enumerate(("user", "product", "user"), 1)
        ]
        run.add_trial(build_trial(round=round_), {}, steps)
    Console(file=(text := io.StringIO()), width=90).print(hops_table(run.hops()))
    rows = [line.split() for line in text.getvalue().splitlines()]
    assert ["user", "handle", "40.0"] in rows
    assert ["product", "handle", "20.0"] in rows
    assert ["all", "60.0"] in rows


def test_below_a_wait_stands_what_of_it_was_for_the_loop_with_its_resolution(run: RunFolder) -> None:
    for round_, loop_us in enumerate((10.0, 20.0, 90.0), 1):
        waits = [
            HopRow(
                number=number,
                service=service,
                message=f"m{number}",
                part="wait",
                n=5,
                mean_us=100.0,
                p50_us=1.0,
                loop_us=None if service == "buyer" else loop_us,
                loop_error_us=None if service == "buyer" else 3.0 + number % 2,
            )
            for number, service in enumerate(("user", "user", "buyer"), 1)
        ]
        run.add_trial(build_trial(round=round_), {}, waits)
    Console(file=(text := io.StringIO()), width=80).print(hops_table(run.hops()))
    rows = [line.split() for line in text.getvalue().splitlines()]
    assert rows[rows.index(["user", "wait", "200"]) + 1] == ["for", "loop", "40.0±5.00"]
    assert sum(row[:2] == ["for", "loop"] for row in rows) == 1
    assert ["all", "300"] in rows


def test_hops_of_many_cells_stand_in_tables_that_fit_eighty_columns(run: RunFolder) -> None:
    cells = [f"rest:httpx-aiohttp@{rate}" for rate in range(500, 520)]
    for slot, cell in enumerate(cells, 1):
        step = HopRow(number=1, service="user", message="m", part="handle", n=5, mean_us=100.0 + slot, p50_us=1.0)
        run.add_trial(build_trial(slot=slot, cell=cell), {}, [step])
    Console(width=80, file=(out := io.StringIO())).print(hops_table(run.hops()))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert all(text.count(cell) == 1 for cell in cells)
    assert all(text.count(f" {100 + slot}") == 2 for slot in range(1, 21))
