"""`python -m tests.install`: what only the tests need, before several tests at once would install it.

It ends well either way: tests that need a tool that cannot be had are skipped.
"""

import asyncio
import sys

from bench.paths import STATE
from bench.provision.install import install_postgres
from bench.provision.toxiproxy import ensure_installed
from tests.browser.tools import install_browser_tools

if __name__ == "__main__":
    STATE.mkdir(exist_ok=True)
    if why := asyncio.run(ensure_installed(STATE, print)):
        print(why, file=sys.stderr)
    install_postgres()
    install_browser_tools(STATE)
