"""Writes a comparison to its folder, and reads it back.

The folder results/regress/ID has plan.json, counts.csv and sets.csv, from which the rest follows: regression.json,
summary.md, junit.xml and exit-code.
"""

import csv
import io
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.errors import ExitCode, Unmeasured
from bench.regress.judge import Finding, Observation, Word
from bench.regress.judge_sets import SetRow
from bench.regress.set_file import SETS, format_rows, parse_rows
from bench.regress.verdict import Plan, Verdict, build_verdict, format_value
from bench.results.durable_files import explain_os_errors, format_csv_line, format_json, replace_file

PLAN, COUNTS = "plan.json", "counts.csv"
MARKER = "<!-- fourways regress -->"
"""By it a program finds the comment on a pull request that it wrote before."""
_COLUMNS = Observation.__struct_fields__
_ROWS_MOST = 100
"""Of a table of summary.md, which has to stay below the 65,536 characters of a comment."""


def write_counts(folder: Path, plan: Plan, observations: Sequence[Observation]) -> None:
    """Writes what was counted, and points the link ``latest`` beside the folder at it. Raises ResultsError."""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        link = folder.parent / f".latest-{folder.name}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(folder.parent / "latest")
        replace_file(folder / PLAN, format_json(msgspec.to_builtins(plan)))
        replace_file(folder / COUNTS, format_counts(observations))


def write_sets(folder: Path, rows: Sequence[SetRow]) -> None:
    """Writes what was timed. Raises ResultsError."""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / SETS, format_rows(rows))


def read_sets(folder: Path, plan: Plan) -> list[SetRow]:
    """Returns what was timed; nothing where nothing was. Raises Unmeasured for damaged rows, ResultsError for none."""
    if plan.timed is None or not plan.timed.thresholds:
        return []
    with explain_os_errors(folder):
        return parse_rows((folder / SETS).read_bytes())


def format_counts(observations: Sequence[Observation]) -> str:
    """Returns the text of counts.csv, in which no value is rounded."""
    lines = [[str(getattr(one, name)) for name in _COLUMNS] for one in observations]
    return "".join(map(format_csv_line, [list(_COLUMNS), *lines]))


def parse_counts(text: str) -> list[Observation]:
    """Returns what counts.csv holds. Raises Unmeasured for text that is damaged."""
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        if not rows or not text.endswith("\n"):
            raise ValueError("it ends in the middle")
        found = [msgspec.convert(row, Observation, strict=False) for row in rows]
        if not all(math.isfinite(one.value) for one in found):
            raise ValueError("a value is no number")
    except (ValueError, msgspec.ValidationError) as error:
        raise Unmeasured(f"{COUNTS} is damaged: {error}; count again", code="damaged-counts") from error
    return found


def read_folder(folder: Path) -> tuple[Plan, list[Observation]]:
    """Returns the plan and the counts of a comparison. Raises Unmeasured for a damaged one, ResultsError for none."""
    with explain_os_errors(folder):
        kept, counts = (folder / PLAN).read_bytes(), (folder / COUNTS).read_bytes()
    try:
        plan, text = msgspec.json.decode(kept, type=Plan), counts.decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unmeasured(f"{folder} is damaged: {error}; count again", code="damaged-counts") from error
    return plan, parse_counts(text)


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Writes all that follows from the counts. Raises ResultsError."""
    files = {
        "regression.json": format_json(msgspec.to_builtins(verdict)),
        "summary.md": render_summary(verdict),
        "junit.xml": render_junit(verdict),
        "exit-code": f"{verdict.exit_code}\n",
    }
    with explain_os_errors(folder):
        for name, content in files.items():
            replace_file(folder / name, content)


def judge_folder(folder: Path) -> Verdict:
    """Judges kept counts again, and writes all that follows from them. Raises Unmeasured and ResultsError."""
    plan, observations = read_folder(folder)
    verdict = build_verdict(plan, observations, read_sets(folder, plan))
    write_verdict(folder, verdict)
    return verdict


NUMBERS = ("base", "head", "change", "fails from")
HEADING = ("method", "per order", *NUMBERS, "verdict")


def table_row(finding: Finding) -> tuple[str, ...]:
    """Returns a finding as a row below HEADING."""
    return (
        finding.cell,
        finding.metric,
        format_value(finding.base),
        format_value(finding.head),
        _format_change(finding),
        "" if finding.fails_from is None else f"{finding.fails_from:+.2%}",
        f"{finding.word}{f': {finding.why}' if finding.why else ''}",
    )


def _format_change(finding: Finding) -> str:
    """A counted change alone, a timed one with its interval."""
    if finding.change is None:
        return ""
    if finding.low is None or finding.high is None:
        return f"{finding.change:+.2%}"
    return f"{finding.change:+.1%} ({finding.low:+.1%} to {finding.high:+.1%})"


def render_summary(verdict: Verdict) -> str:
    """Returns summary.md, for a pull request."""
    told = verdict.with_word(*(word for word in Word if word is not Word.PASS))
    lines = [
        MARKER,
        f"### {_HEADINGS[ExitCode(verdict.exit_code)]}",
        "",
        f"{_escape(verdict.sentence)}.",
        "",
        f"Base: {_escape(verdict.base.name)}. Head: {_escape(verdict.head.name)}. {verdict.orders} orders in each "
        f"replay, one in flight. Thresholds: those of {_escape(verdict.thresholds_of)}.",
        *(f"\n**{_escape(said)}.**" for said in verdict.announcements),
    ]
    if told:
        lines += ["", *_markdown_table(told)]
    if verdict.findings:
        table = _markdown_table(verdict.findings)
        lines += ["", "<details><summary>All counts</summary>", "", *table, "", "</details>"]
    return "\n".join(lines) + "\n"


_HEADINGS = {
    ExitCode.OK: "No regression found",
    ExitCode.REGRESSION: "Performance regression",
    ExitCode.INCONCLUSIVE: "Performance: inconclusive",
    ExitCode.UNMEASURED: "Performance: not compared",
}


def _markdown_table(findings: Sequence[Finding]) -> list[str]:
    rows = [HEADING, ["---", "---", *["---:"] * 4, "---"], *map(table_row, findings[:_ROWS_MOST])]
    more = [] if len(findings) <= _ROWS_MOST else ["", f"{len(findings) - _ROWS_MOST} more are in regression.json."]
    return [*(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows), *more]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def render_junit(verdict: Verdict) -> str:
    """Returns junit.xml: a suite for each method, a case for each metric."""
    cells = list(dict.fromkeys([*(finding.cell for finding in verdict.findings), *verdict.unmeasured]))
    root = ET.Element("testsuites", name="fourways regress")
    for cell in cells:
        findings = [finding for finding in verdict.findings if finding.cell == cell]
        suite = ET.SubElement(root, "testsuite", name=cell)
        results = [_add_case(suite, finding, strict=verdict.strict) for finding in findings]
        if cell in verdict.unmeasured:
            case = ET.SubElement(suite, "testcase", classname=cell, name="replay")
            ET.SubElement(case, "error", message=verdict.unmeasured[cell])
            results.append("error")
        counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
        suite.set("tests", str(len(results)))
        for attribute, kind in counted.items():
            suite.set(attribute, str(results.count(kind)))
    if verdict.unfit:
        errors = str(len(verdict.unfit))
        suite = ET.SubElement(root, "testsuite", name="times", tests=errors, failures="0", errors=errors, skipped="0")
        for number, why in enumerate(verdict.unfit, 1):
            case = ET.SubElement(suite, "testcase", classname="times", name=f"fit {number}")
            ET.SubElement(case, "error", message=why)
    if not cells:  # of damaged counts nothing is known, and no reader may take this for a pass
        suite = ET.SubElement(root, "testsuite", name="regress", tests="1", failures="0", errors="1", skipped="0")
        case = ET.SubElement(suite, "testcase", classname="regress", name="counts")
        ET.SubElement(case, "error", message=verdict.sentence)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _add_case(suite: ET.Element, finding: Finding, *, strict: bool) -> str:
    """Adds a case; returns what it came to."""
    case = ET.SubElement(suite, "testcase", classname=finding.cell, name=finding.metric)
    *_, said = table_row(finding)
    message = " ".join((said, *table_row(finding)[2:5])).strip()
    match finding.word:
        case Word.PASS | Word.IMPROVED:
            return ""
        case Word.FAIL:
            kind = "failure"
        case Word.NOT_MEASURED if finding.metric == "orders lost":
            kind = "error"
        case Word.SUSPECT | Word.INCONCLUSIVE if strict:
            kind = "failure"
        case _:
            kind = "skipped"
    ET.SubElement(case, kind, message=message)
    return kind
