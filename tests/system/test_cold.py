"""The bare server beside which cold connections are measured."""

from pathlib import Path

import pytest

from bench.cold import echo
from bench.provision import free_ports
from bench.provision.authority import make
from bench.provision.services import services
from shop.workflow import SERVICES
from transports.base import Setting


@pytest.mark.parametrize(("level", "cipher"), [("none", ""), ("mtls", "TLS_AES_128_GCM_SHA256")])
async def test_it_sends_back_a_line_over_the_suite_of_all_methods(level: str, cipher: str, tmp_path: Path) -> None:
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, free_ports(len(SERVICES)), strict=True)}
    keys = "" if level == "none" else str(make(tmp_path / "keys"))
    setting = Setting(trial="t", addresses=addresses, security=level, keys=keys)
    async with services("echo", setting, folder=tmp_path, logs=tmp_path, store_folder=None, program=echo.PROGRAM):
        assert await echo.agreed(setting) == cipher
        assert min(await echo.pair(setting)) > 0
