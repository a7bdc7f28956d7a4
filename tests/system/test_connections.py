"""Tests the cost of new connections, and the bare echo server it is compared with."""

from pathlib import Path

import pytest

from bench.provision.certificates import make_keys
from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from bench.trial import echo_server as echo
from shop.workflow import SERVICES
from tests.system.command_line import SHORT_RUN, BenchCommandLine, is_completed
from transports.base import Setting

pytestmark = [pytest.mark.slow, pytest.mark.broker]


@pytest.mark.parametrize(("level", "cipher"), [("none", ""), ("mtls", "TLS_AES_128_GCM_SHA256")])
async def test_it_sends_back_a_line_over_the_suite_of_all_methods(level: str, cipher: str, tmp_path: Path) -> None:
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    keys = "" if level == "none" else str(make_keys(tmp_path / "keys"))
    setting = Setting(trial="t", addresses=addresses, security=level, keys=keys)
    async with run_services("echo", setting, folder=tmp_path, logs=tmp_path, store_folder=None, program=echo.PROGRAM):
        assert await echo.find_cipher_suite(setting) == cipher
        assert min(await echo.measure_echo(setting)) > 0


def test_a_study_with_new_connections_measures_those_that_it_lacks_beside_its_trials(bench: BenchCommandLine) -> None:
    asked = ("PROFILE=security", "TRANSPORT=rest", "SECURITY=none,mtls", *SHORT_RUN, "REPORT=yes")
    done = bench.done(bench.fourways("study", *asked))
    assert is_completed(done), done.stdout + done.stderr
    assert "First order on a new connection" in done.stdout
    run = bench.open_latest_run()
    first = run.cold_starts()
    assert sorted(first["cell"]) == ["echo@mtls", "echo@none", "rest@mtls", "rest@none"]
    assert (first["cold_us"] > first["warm_us"]).all()
    ciphers = dict(zip(first["cell"], first["negotiated_cipher"], strict=True))
    assert ciphers["rest@mtls"] == ciphers["echo@mtls"] == "TLS_AES_128_GCM_SHA256"
    assert ciphers["rest@none"] == ciphers["echo@none"] == ""
    assert {"cold_us", "warm_us"} <= set(run.effects()["metric"])
    assert (run.path / "charts" / "cold.svg").exists()

    lines = (run.path / "cold.csv").read_text().splitlines(keepends=True)
    (run.path / "cold.csv").write_text("".join(lines[:-1]))
    assert is_completed(done := bench.done(bench.fourways("study", "RESUME=latest"))), done.stderr
    again = bench.open_latest_run().cold_starts()
    assert sorted(again["cell"]) == sorted(first["cell"])
    assert len(again.merge(first, on=list(first.columns))) == len(first) - 1
