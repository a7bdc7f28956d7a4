"""Tests that both compose files limit what a broker may take and do, and that a compose reads them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.provision import compose
from bench.provision import container as contained
from bench.provision.base import Security
from bench.provision.certificates import make_keys
from transports.security import LEVELS

FILES = (compose.COMPOSE_FILE, compose.SECURE_COMPOSE_FILE)


def build_variables(file: Path, folder: Path) -> dict[str, str]:
    """The variables that a run gives with this file."""
    if file == compose.COMPOSE_FILE:
        made = [contained.build_plain_config(name).variables for name in ("rabbitmq", "kafka")]
    else:
        security = Security(LEVELS, str(make_keys(folder / "keys")))
        made = [contained.build_secured_config("kafka", folder / "kafka", security).variables]
    return {name: value for variables in made for name, value in variables.items()}


def find_services(text: str) -> list[str]:
    """The names of a compose file's services."""
    return re.findall(r"^  (\w+):$", text.partition("\nservices:\n")[2], re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_service_is_limited_and_asked_for_its_health(file: Path) -> None:
    text = file.read_text("utf-8")
    limits = text.partition("\nx-limits: &limits\n")[2].partition("\n\n")[0]
    for key in ("cap_drop: [ALL]", '["no-new-privileges:true"]', "mem_limit: ", "cpus: ", "pids_limit: "):
        assert key in limits
    names = find_services(text)
    assert {"rabbitmq", "kafka"} <= set(names)
    for name in names:
        service = text.partition(f"\n  {name}:\n")[2].partition("\n\n")[0]
        assert "<<: *limits\n" in service
        assert "    healthcheck:\n" in service
        further = 1 if name == "postgres" else 2  # numbers of a release
        assert re.search(rf"image: \S*{name}:\d+(\.\d+){{{further}}}\n", service)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_compose_reads_it(file: Path, tmp_path: Path) -> None:
    if (program := shutil.which("docker-compose")) is None:
        pytest.skip("no docker-compose: type `sudo apt-get install docker-compose`")
    done = subprocess.run(
        [program, "-f", str(file), "config"],
        env={**os.environ, **build_variables(file, tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services = len(find_services(file.read_text("utf-8")))
    assert done.stdout.count("- ALL") == done.stdout.count("no-new-privileges:true") == services
    assert f"cpus: {float(os.cpu_count() or 1)}" in done.stdout
