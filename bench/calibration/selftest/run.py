"""Runs every self-test case through Locust and prints expected beside seen.

`python -m bench.calibration.selftest.run`. The exit code is 1 when a result differs.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.calibration.selftest.cases import SINGLE_TRIAL_CASES, CheckResult, SingleTrialCase
from bench.calibration.selftest.plays import MULTI_TRIAL_CASES, MultiTrialCase
from bench.calibration.selftest.stub import ENTRY_POINT
from bench.cli.exits import outcome
from bench.errors import LoadError, StartFailed
from bench.load.locust.control import start_master, start_worker
from bench.load.protocol import TrialReport, TrialSpec
from transports.registry import ENTRY_POINT_GROUP


@contextmanager
def install_stub() -> Iterator[Path]:
    """Yields a folder that makes the stub known to whoever has it on its path, as an installed distribution would."""
    with tempfile.TemporaryDirectory(prefix="fourways-") as folder:
        info = Path(folder) / "fourways_stub-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fourways-stub\nVersion: 0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{ENTRY_POINT}\n")
        yield Path(folder)


async def run_cases(cases: Sequence[SingleTrialCase], plays: Sequence[MultiTrialCase], console: Console) -> bool:
    """Runs all cases and tells whether everything came out as expected. Raises LoadError or StartFailed."""
    right = True
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
                right &= print_results(console, case.name, case.check(spec, case.model, await trial(spec)))
            for number, play in enumerate(plays, 1):
                right &= print_results(console, play.name, await play.run(trial, f"fw-selfplay{number}", folder))
    return right


def print_results(console: Console, name: str, lines: Sequence[CheckResult]) -> bool:
    """Prints what was expected and seen, and tells whether it was the same."""
    console.print(results_table(name, lines))
    return all(line.right for line in lines)


def results_table(name: str, lines: Sequence[CheckResult]) -> Table:
    drawn = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, width in (("", 24), ("expected", 20), ("seen", 22), ("", 5)):
        drawn.add_column(heading, min_width=width)
    for line in lines:
        verdict = Text("right", "green") if line.right else Text("WRONG", "bold red")
        drawn.add_row(line.what, line.expected, line.seen, verdict)
    return drawn


def command(arguments: list[str]) -> int:
    """Returns the exit code: 0 all as expected, 1 not, 130 stopped."""
    parser = argparse.ArgumentParser(
        "python -m bench.calibration.selftest", description="The harness against known answers."
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="cases whose name has these words")
    asked = parser.parse_args(arguments)
    cases = [case for case in SINGLE_TRIAL_CASES if asked.only in case.name]
    plays = [play for play in MULTI_TRIAL_CASES if asked.only in play.name]
    if not cases and not plays:
        names = "; ".join(one.name for one in (*SINGLE_TRIAL_CASES, *MULTI_TRIAL_CASES))
        parser.error(f"no case has {asked.only!r} in its name; there are: {names}")
    right = outcome(run_cases(cases, plays, Console()), LoadError, StartFailed)
    print("everything came out as expected" if right else "something did not come out as expected; see above")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
