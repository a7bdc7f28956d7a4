"""`python -m tests.browser STATE`: install what the page is looked at with. Ends well either way: tests then skip."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.provision.install import absent, install

HERE = Path(__file__).parent
PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}


def modules(state: Path) -> Path:
    """Where npm puts what package.json names."""
    return state / "browser" / "node_modules"


def fetch(state: Path) -> None:
    """axe and the validator, as package-lock.json has their hashes, unless they are there."""
    folder = state / "browser"
    wanted = (HERE / "package-lock.json").read_text()
    there = folder / "package-lock.json"
    if there.exists() and there.read_text() == wanted and modules(state).is_dir():
        return
    if shutil.which("npm") is None:
        print("setup: there is no npm, so that the page is not validated in the tests")
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", folder)
    shutil.copy(HERE / "package-lock.json", folder)
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


if __name__ == "__main__":
    if lacking := absent(PACKAGES):
        install(lacking, "a look at the page", "then `make test` again. Only the tests in a browser need them.")
    fetch(Path(sys.argv[1]))
