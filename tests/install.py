"""`python -m tests.install`: what only the tests need, before several tests at once would install it.

With `--nightly` that is a container engine too, where none answers. It ends well either way: tests that need a tool
that cannot be had are skipped.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from bench.paths import STATE
from bench.provision import compose
from bench.provision.install import find_missing_packages, install_packages, install_postgres
from bench.provision.toxiproxy import ensure_installed
from tests.browser.tools import install_browser_tools

ENGINE_PACKAGES = {"dockerd": "docker.io", "docker-compose": "docker-compose"}
"""The program by which we know a package, and the package."""
ENGINE_UNITS = ("docker.service", "docker.socket", "containerd.service")


def install_engine() -> None:
    """Install the engine that tests/system/test_containers.py starts, as root, and keep it from starting by itself."""
    missing = find_missing_packages(ENGINE_PACKAGES)
    if not missing or asyncio.run(compose.find_engine()) is not None:
        return
    done = install_packages(missing, "tests of containers", "the tests of both compose files are skipped without.")
    if done and Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "disable", "--quiet", *ENGINE_UNITS], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    STATE.mkdir(exist_ok=True)
    if why := asyncio.run(ensure_installed(STATE, print)):
        print(why, file=sys.stderr)
    install_postgres()
    install_browser_tools(STATE)
    if "--nightly" in sys.argv:
        install_engine()
