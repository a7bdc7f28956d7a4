"""`fourways regress`: does a revision take more than another? With `judge` and `selftest` it judges kept counts."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.cli.servers import install_brokers_for, paths_of
from bench.errors import ExitCode, Inconclusive, OperationFailed, Refusal, Regression, Unmeasured, UsageError
from bench.regress.compare import Comparison, compare_revisions
from bench.regress.exports import read_verdict
from bench.regress.history import HISTORY, format_history, read_history, remember
from bench.regress.judge import Word
from bench.regress.outputs import HEADING, NUMBERS, judge_folder, table_row
from bench.regress.selftest import check_judge
from bench.regress.verdict import Verdict
from bench.results.lookup import find_run_folder

COLOURS = {Word.FAIL: "red", Word.SUSPECT: "yellow", Word.INCONCLUSIVE: "yellow", Word.IMPROVED: "green"}
PARENT = {"BASE": "HEAD~1", "TRANSPORT": "memory,rest", "BUDGET": "0"}
ENDS: dict[int, type[Refusal]] = {
    ExitCode.REGRESSION: Regression,
    ExitCode.INCONCLUSIVE: Inconclusive,
    ExitCode.UNMEASURED: Unmeasured,
}


def run(asked: Asked) -> None:
    """Compare two revisions, or do what the action says. Raises Regression, Inconclusive, Unmeasured, UsageError."""
    results = asked.path("RESULTS") / "regress"
    match asked.action:
        case "selftest":
            _check_judge(asked)
        case "judge":
            folder = find_run_folder(str(asked.value("RUN")), results, is_kept=False)
            _tell(asked, judge_folder(folder), folder)
        case "remember":
            folder = find_run_folder(str(asked.value("RUN")), results, is_kept=False)
            print(f"kept in {os.path.relpath(remember(results, _read_whole(folder)))}")
        case "history":
            print(format_history(read_history(results / HISTORY)), end="")
        case "parent":
            _count_against_parent(asked, results)
        case _:
            _compare(asked, results)


def _read_whole(folder: Path) -> Verdict:
    verdict = read_verdict(folder)
    if verdict is None:
        raise UsageError(f"{folder} has no verdict; type `fourways regress judge {folder.name}`", code="no-verdict")
    return verdict


def _check_judge(asked: Asked) -> None:
    wrong = check_judge()
    if asked.json:
        print_json({"wrong": wrong})
    if wrong:
        raise OperationFailed(f"the judge is wrong: {'; '.join(wrong)}", code="selftest-failed")
    Console(stderr=asked.json).print("the judge finds what it has to find, and nothing else")


def _count_against_parent(asked: Asked, results: Path) -> None:
    """What `make test` does at its end: the counts are told, and fail nothing."""
    try:
        _compare(replace(asked, words={**asked.words, **PARENT}), results)
    except Refusal as error:
        print(f"{error} [{error.code}]", file=sys.stderr)
    except SystemExit as ended:  # the reason has been told
        if ended.code == ExitCode.STOPPED:
            raise


def _compare(asked: Asked, results: Path) -> None:
    if "BASE" not in asked.words:
        raise UsageError("BASE= is missing; give the revision to compare with, for instance BASE=main", code="no-base")
    methods = tuple(asked.value("TRANSPORT")) if "TRANSPORT" in asked.words else ()
    install_brokers_for(asked, methods or ("broker", "events"))
    paths = paths_of(asked)
    comparison = Comparison(
        checkout=paths.checkout,
        home=paths.home,
        results=results,
        base=str(asked.value("BASE")),
        head=asked.words.get("HEAD", ""),
        methods=methods,
        strict=bool(asked.value("STRICT")),
        budget_s=float(asked.value("BUDGET")),
        seeds=int(asked.value("SEEDS")),
        given=paths.given,
    )
    console = Console(stderr=True, highlight=False)

    def begins(method: str, again: bool) -> None:
        how = "counting again what looks suspicious in" if again else "counting"
        console.print(f"{how} {method}", markup=False)

    def say(sentence: str) -> None:
        console.print(sentence, markup=False)

    verdict, folder = run_to_end(lambda: compare_revisions(comparison, say, begins))
    _tell(asked, verdict, folder)


def _tell(asked: Asked, verdict: Verdict, folder: Path) -> None:
    """Print the verdict, and end with its exit code."""
    console = Console(stderr=asked.json, highlight=False)
    console.print(f"{verdict.sentence}.", markup=False, soft_wrap=True)
    for said in verdict.announcements:
        console.print(f"{said}.", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in HEADING:
        table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
    for finding in verdict.findings:
        table.add_row(*table_row(finding)[:-1], finding.word, style=COLOURS.get(finding.word))
    if verdict.findings:
        console.print(table)
    for finding in verdict.findings:
        if finding.why:
            said = f"{finding.word}: {finding.metric} of {finding.cell}: {finding.why}"
            console.print(said, markup=False, soft_wrap=True)
    console.print(f"\n{verdict.base.name} -> {verdict.head.name}", markup=False, soft_wrap=True)
    console.print(f"kept: {os.path.relpath(folder)}", markup=False, soft_wrap=True)
    if asked.json:
        print_json(verdict)
    if verdict.exit_code:
        _end(verdict)


def _end(verdict: Verdict) -> NoReturn:
    code = {10: "regression", 11: "inconclusive", 12: "not-compared"}[verdict.exit_code]
    raise ENDS[verdict.exit_code](verdict.sentence, code=code)
