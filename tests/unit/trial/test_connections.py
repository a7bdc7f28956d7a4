"""Tests the measurement of new connections, its storage and its effects."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bench.errors import UsageError
from bench.paths import ROOT
from bench.profile import loader as profiles
from bench.report.charts import factor_levels as levels
from bench.report.terminal.connections import TABLE_WIDTH, build_connection_rows, connections_table, read_cold_starts
from bench.results.lookup import find_reference_runs
from bench.results.rows import ColdStartRow
from bench.results.store import RunFolder
from bench.trial.connections import build_round_order, format_measured_name, list_pending
from transports.security import CIPHER_SUITE


def cold_start(round_: int, security: str, cold_us: float, transport: str = "rest") -> ColdStartRow:
    return ColdStartRow(
        round=round_,
        cell=f"{transport}@{security}",
        transport=transport,
        client="aiohttp",
        product="",
        codec="json",
        security=security,
        negotiated_cipher="" if security == "none" else CIPHER_SUITE,
        connections=15,
        cold_us=cold_us,
        warm_us=100.0,
    )


def a_run(root: Path, rounds: int = 6) -> RunFolder:
    """REST, over which TLS makes a new connection three times as slow, and an echo beside it, ten times."""
    run = RunFolder.create(root, "made-up", {"profile": {"designed": True, "connections": True}})
    for number in range(1, rounds + 1):
        for transport, security, cold_us in (
            ("rest", "tls", 3000.0),
            ("echo", "none", 10.0),
            ("rest", "none", 1000.0),
            ("echo", "tls", 100.0),
        ):
            run.add_cold_start(cold_start(number, security, cold_us * number, transport))
    return run


def test_levels_come_from_the_least_secure_on_with_ratios_to_it() -> None:
    found = list(
        build_connection_rows(
            [cold_start(n, level, us * n) for n in range(1, 8) for level, us in (("auth", 300), ("none", 100))]
        )
    )
    assert [line.security for line in found] == ["none", "auth"]
    assert found[0].cold_ratio is None
    assert found[1].cold_us.value == 4 * 300
    assert found[1].cold_ratio is not None and found[1].warm_ratio is not None
    assert found[1].cold_ratio.value == pytest.approx(3)
    assert found[1].warm_ratio.value == pytest.approx(1)


def test_a_round_without_the_level_none_is_in_no_ratio() -> None:
    found = list(
        build_connection_rows([cold_start(1, "none", 100), cold_start(1, "tls", 200), cold_start(2, "tls", 5000)])
    )
    assert found[1].cold_ratio is not None
    assert found[1].cold_ratio.value == pytest.approx(2)


def test_a_round_has_every_cell_and_the_bare_echo_at_the_levels_that_it_knows_in_an_order_of_its_own() -> None:
    asked = profiles.load_profile("security", {"TRANSPORT": "rest,broker", "SECURITY": "none,auth"})
    rounds = [[format_measured_name(what) for what in build_round_order(asked, number)] for number in range(6)]
    assert {*rounds[0]} == {"rest@none", "rest@auth", "broker@none", "broker@auth", "echo@none"}
    assert all({*one} == {*rounds[0]} for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_what_a_run_keeps_is_read_back_as_it_was_measured(tmp_path: Path) -> None:
    run = a_run(tmp_path, rounds=1)
    assert read_cold_starts(RunFolder.open(run.path).cold_starts())[2] == cold_start(1, "none", 1000.0)


def test_the_effects_of_a_run_have_new_connections_with_intervals(tmp_path: Path) -> None:
    found = a_run(tmp_path).effects()
    rows = found[(found["metric"] == "cold_us") & (found["kind"] == "main")].set_index("transport")
    assert {"transport": "rest", "factor": "security", "level": "tls", "base": "none"}.items() <= dict(
        rows.reset_index().iloc[0]
    ).items()
    assert rows.loc["rest", ["estimate", "low", "high"]].tolist() == pytest.approx([3, 3, 3])
    assert rows.loc["echo", "estimate"] == pytest.approx(10)


def test_a_chart_has_the_first_order_and_the_next_by_level(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    (chart,) = levels.draw_connection_charts(run.cold_starts())
    assert chart.name == "cold"
    medians = {row[:4]: row[6] for row in chart.rows if row[4] == "median"}
    assert medians["REST", "tls", "rest@tls", "cold_us"] == "10500"
    assert medians["a bare echo", "none", "echo@none", "warm_us"] == "100"


@pytest.mark.parametrize(
    ("profile", "flags"),
    [("default", {"RATE": "10,20"}), ("size", {"TRANSPORT": "rest"}), ("aa", {"TRANSPORT": "rest"})],
)
def test_cells_that_would_have_the_same_connections_are_refused(profile: str, flags: dict[str, str]) -> None:
    assert not profiles.load_profile(profile, flags).connections
    with pytest.raises(UsageError) as refused:
        profiles.load_profile(profile, {**flags, "CONNECTIONS": "1"})
    assert refused.value.code == "no-new-connections"


def test_a_profile_kept_before_there_were_new_connections_has_none() -> None:
    manifest = msgspec.to_builtins(profiles.load_profile("security", {"TRANSPORT": "rest"}))
    del manifest["connections"]
    assert not profiles.restore_profile(manifest).connections


def test_a_connection_of_another_suite_is_in_no_number(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.add_cold_start(msgspec.structs.replace(cold_start(7, "tls", 1.0), negotiated_cipher="TLS_AES_256_GCM_SHA384"))
    assert list(run.cold_starts().query("not valid")["cold_us"]) == [1.0]
    assert min(row.cold_us for row in read_cold_starts(run.cold_starts()) if row.transport == "rest") == 1000.0


def test_a_row_without_its_number_is_left_out(tmp_path: Path) -> None:
    run = a_run(tmp_path, rounds=1)
    path = run.path / "cold.csv"
    path.write_text(path.read_text().replace(",1000,100", ",,100"))
    assert sorted(run.cold_starts()["cell"]) == ["echo@none", "echo@tls", "rest@tls"]


@pytest.mark.reference
def test_the_page_on_security_has_the_table_of_the_run_that_is_kept() -> None:
    """As the study printed it; made here from its file."""
    run = RunFolder.open(find_reference_runs()["security"])
    said = io.StringIO()
    Console(width=TABLE_WIDTH, file=said).print(connections_table(read_cold_starts(run.cold_starts())))
    rows = [line.rstrip() for line in said.getvalue().splitlines()[1:] if line.strip()]
    assert len(rows) == 1 + 5 * 4 + 3
    page = (ROOT / "docs" / "security.md").read_text()
    assert not [row for row in rows if f"    {row}\n" not in page]
    assert "…" not in said.getvalue()


def test_what_is_to_do_has_a_round_that_warms_before_it_and_is_nothing_when_all_is_there() -> None:
    asked = profiles.load_profile("security", {"TRANSPORT": "rest,broker", "SECURITY": "none,tls"})
    names = {"rest@none", "rest@tls"}
    there = {(round_, name) for round_ in (1, 2) for name in (*names, "echo@none", "echo@tls")}
    assert list_pending(asked, 2, names, there) == []
    left = [
        (round_, format_measured_name(what))
        for round_, _, what in list_pending(asked, 2, names, there - {(2, "rest@tls")})
    ]
    assert {name for round_, name in left if round_ == 0} == {*names, "echo@none", "echo@tls"}
    assert [one for one in left if one[0]] == [(2, "rest@tls")]
