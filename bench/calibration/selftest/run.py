"""Runs every self-test case through Locust and prints expected beside seen.

`fourways harness selftest`. The exit code is 1 when a result differs.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.calibration.selftest.cases import CheckResult, SingleTrialCase
from bench.calibration.selftest.plays import MultiTrialCase
from bench.calibration.selftest.stub import ENTRY_POINT
from bench.errors import LoadError
from bench.load.locust.control import start_master, start_worker
from bench.load.protocol import TrialReport, TrialSpec
from transports.registry import ENTRY_POINT_GROUP


@contextmanager
def install_stub() -> Iterator[Path]:
    """Yields a folder that makes the stub known to whoever has it on its path, as an installed distribution would."""
    with tempfile.TemporaryDirectory(prefix="fourways-") as folder:
        info = Path(folder) / "fourways_stub-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fourways-stub\nVersion: 0\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{ENTRY_POINT}\n", "utf-8")
        yield Path(folder)


async def run_cases(
    cases: Sequence[SingleTrialCase], plays: Sequence[MultiTrialCase], console: Console
) -> dict[str, list[CheckResult]]:
    """Runs all cases, prints each, and returns what was checked by the case's name. Raises LoadError or StartFailed."""
    found: dict[str, list[CheckResult]] = {}
    with install_stub() as folder:
        env = {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}
        async with start_master(folder=folder, log=folder / "locust.log", env=env) as locust:

            async def trial(spec: TrialSpec) -> TrialReport:
                async with start_worker(locust, log=folder / f"{spec.id}.log", env=env, urgent=True):
                    report = await locust.run(spec)
                if report.error:
                    raise LoadError(f"{spec.id}: {report.error}", code="trial-failed")
                return report

            for number, case in enumerate(cases, 1):
                spec = case.spec(f"fw-selftest{number}")
                found[case.name] = list(case.check(spec, case.model, await trial(spec)))
                console.print(results_table(case.name, found[case.name]))
            for number, play in enumerate(plays, 1):
                found[play.name] = list(await play.run(trial, f"fw-selfplay{number}", folder))
                console.print(results_table(play.name, found[play.name]))
    return found


def results_table(name: str, lines: Sequence[CheckResult]) -> Table:
    drawn = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, width in (("", 24), ("expected", 20), ("seen", 22), ("", 5)):
        drawn.add_column(heading, min_width=width)
    for line in lines:
        verdict = Text("right", "green") if line.right else Text("WRONG", "bold red")
        drawn.add_row(line.what, line.expected, line.seen, verdict)
    return drawn
