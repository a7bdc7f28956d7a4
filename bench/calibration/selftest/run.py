"""`python -m bench.calibration.selftest`: every case through Locust, expected and seen side by side.

Exit code 1 when one differs.
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

from bench.calibration.selftest.cases import CASES, Case, Line
from bench.calibration.selftest.plays import PLAYS, Play
from bench.calibration.selftest.stub import ENTRY_POINT
from bench.cli.exits import outcome
from bench.errors import LoadError, StartFailed
from bench.load.locust.control import master, worker
from bench.load.protocol import TrialReport, TrialSpec
from transports.registry import GROUP


@contextmanager
def installed_stub() -> Iterator[Path]:
    """A folder that makes the stub known to whoever has it on its path, as an installed distribution would."""
    with tempfile.TemporaryDirectory(prefix="fourways-") as folder:
        info = Path(folder) / "fourways_stub-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fourways-stub\nVersion: 0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{ENTRY_POINT}\n")
        yield Path(folder)


async def run(cases: Sequence[Case], plays: Sequence[Play], console: Console) -> bool:
    """Whether everything came out as expected. Raises LoadError or StartFailed."""
    right = True
    with installed_stub() as folder:
        env = {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}
        async with master(folder=folder, log=folder / "locust.log", env=env) as locust:

            async def trial(spec: TrialSpec) -> TrialReport:
                async with worker(locust, log=folder / f"{spec.id}.log", env=env, urgent=True):
                    report = await locust.run(spec)
                if report.error:
                    raise LoadError(f"{spec.id}: {report.error}", code="trial-failed")
                return report

            for number, case in enumerate(cases, 1):
                spec = case.spec(f"fw-selftest{number}")
                right &= shown(console, case.name, case.check(spec, case.model, await trial(spec)))
            for number, play in enumerate(plays, 1):
                right &= shown(console, play.name, await play.run(trial, f"fw-selfplay{number}", folder))
    return right


def shown(console: Console, name: str, lines: Sequence[Line]) -> bool:
    """Print what was expected and seen; whether it was the same."""
    console.print(table(name, lines))
    return all(line.right for line in lines)


def table(name: str, lines: Sequence[Line]) -> Table:
    drawn = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, width in (("", 24), ("expected", 20), ("seen", 22), ("", 5)):
        drawn.add_column(heading, min_width=width)
    for line in lines:
        verdict = Text("right", "green") if line.right else Text("WRONG", "bold red")
        drawn.add_row(line.what, line.expected, line.seen, verdict)
    return drawn


def command(arguments: list[str]) -> int:
    """The exit code: 0 all as expected, 1 not, 130 stopped."""
    parser = argparse.ArgumentParser(
        "python -m bench.calibration.selftest", description="The harness against known answers."
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="cases whose name has these words")
    asked = parser.parse_args(arguments)
    cases = [case for case in CASES if asked.only in case.name]
    plays = [play for play in PLAYS if asked.only in play.name]
    if not cases and not plays:
        names = "; ".join(one.name for one in (*CASES, *PLAYS))
        parser.error(f"no case has {asked.only!r} in its name; there are: {names}")
    right = outcome(run(cases, plays, Console()), LoadError, StartFailed)
    print("everything came out as expected" if right else "something did not come out as expected; see above")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
