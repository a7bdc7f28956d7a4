"""Installs and finds the tools that a page is looked at with: Chromium, axe and html-validate."""

import shutil
import subprocess
from pathlib import Path

from bench.provision.install import find_missing_packages, install_packages

BROWSER_FOLDER = Path(__file__).parent
DEBIAN_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}


def find_node_modules(state: Path) -> Path:
    """Returns the folder of the packages that package.json names."""
    return state / "browser" / "node_modules"


def install_node_modules(state: Path) -> None:
    """Installs axe and html-validate by npm at the locked versions, unless they are there."""
    folder = state / "browser"
    wanted = (BROWSER_FOLDER / "package-lock.json").read_text()
    there = folder / "package-lock.json"
    if there.exists() and there.read_text() == wanted and find_node_modules(state).is_dir():
        return
    if shutil.which("npm") is None:
        print("setup: there is no npm, so that the page is not validated in the tests")
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BROWSER_FOLDER / "package.json", folder)
    shutil.copy(BROWSER_FOLDER / "package-lock.json", folder)
    print("setup: axe and html-validate with npm (ten seconds)", flush=True)
    done = subprocess.run(
        ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        there.unlink()
        print(f"setup: npm could not install them: {done.stdout.strip()[:300] or 'it said nothing'}")


def install_browser_tools(state: Path) -> None:
    """Installs what is missing; the tests that need it are skipped where it cannot be had."""
    if lacking := find_missing_packages(DEBIAN_PACKAGES):
        install_packages(
            lacking, "a look at the page", "then `make test` again. Only the tests in a browser need them."
        )
    install_node_modules(state)
