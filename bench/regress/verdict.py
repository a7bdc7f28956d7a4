"""Builds the verdict of a comparison: the one object from which everything that is said of it is written."""

from collections.abc import Mapping, Sequence

import msgspec

from bench.errors import ExitCode
from bench.regress.judge import Damaged, Finding, Observation, Threshold, Word, judge_counts
from bench.regress.judge_sets import SetRow, Timed, judge_timed

SCHEMA_VERSION = 1
GRAVEST_FIRST = (
    Word.FAIL,
    Word.SUSPECT,
    Word.INCONCLUSIVE,
    Word.NOT_MEASURED,
    Word.IMPROVED,
    Word.PASS,
)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A revision, as the verdict names it."""

    name: str
    asked: str
    commit: str
    tree: str
    dirty: bool


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A metric that was not counted. INCONCLUSIVE: it should have been. NOT MEASURED: it has no meaning there."""

    cell: str
    metric: str
    word: Word
    why: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared and how: all that the verdict takes beside the counts. It is kept as plan.json."""

    id: str
    base: Side
    head: Side
    strict: bool
    orders: int
    """Counted in each replay."""
    thresholds: Mapping[str, Mapping[str, Threshold]]
    """By cell and metric, of what was counted."""
    thresholds_of: str
    """The name of the revision whose thresholds these are."""
    left_out: tuple[LeftOut, ...] = ()
    unmeasured: Mapping[str, str] = {}
    """Cells that could not be counted at all, each with the reason."""
    announcements: tuple[str, ...] = ()
    timed: Timed | None = None
    """What was timed; None: nothing was."""
    tools: Mapping[str, str] = {}
    """What counted the instructions and the system calls."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison comes to; regression.json holds it."""

    schema_version: int
    id: str
    exit_code: int
    sentence: str
    base: Side
    head: Side
    strict: bool
    orders: int
    thresholds_of: str
    announcements: tuple[str, ...]
    tools: Mapping[str, str]
    unmeasured: Mapping[str, str]
    findings: tuple[Finding, ...]
    unfit: tuple[str, ...] = ()
    """Why times say nothing, of all methods or of one."""

    def count(self, word: Word) -> int:
        """Returns how many findings have this word."""
        return sum(finding.word is word for finding in self.findings)

    def with_word(self, *words: Word) -> list[Finding]:
        """Returns the findings with any of these words, the gravest first."""
        chosen = [finding for finding in self.findings if finding.word in words]
        return sorted(chosen, key=lambda finding: GRAVEST_FIRST.index(finding.word))


def build_verdict(plan: Plan, observations: Sequence[Observation], sets: Sequence[SetRow] = ()) -> Verdict:
    """Returns the verdict; of counts that are not whole one with exit code 12. ``sets`` are the rows of sets.csv."""
    try:
        counted = judge_counts(plan.thresholds, observations)
    except Damaged as error:
        return _verdict(plan, (), ExitCode.UNMEASURED, f"the counts are damaged: {error}; count again")
    timed, unfit = ([], []) if plan.timed is None else judge_timed(plan.timed, sets)
    cells = list(plan.thresholds)
    unsorted = (*counted, *timed, *(_finding_of(one) for one in plan.left_out))
    findings = tuple(sorted(unsorted, key=lambda finding: cells.index(finding.cell)))
    exit_code = _choose_exit_code(plan, findings, unfit)
    return _verdict(plan, findings, exit_code, _write_sentence(plan, findings, exit_code, unfit), tuple(unfit))


def _finding_of(left_out: LeftOut) -> Finding:
    return Finding(cell=left_out.cell, metric=left_out.metric, word=left_out.word, why=left_out.why)


def _verdict(
    plan: Plan, findings: tuple[Finding, ...], exit_code: ExitCode, sentence: str, unfit: tuple[str, ...] = ()
) -> Verdict:
    return Verdict(
        schema_version=SCHEMA_VERSION,
        id=plan.id,
        exit_code=int(exit_code),
        sentence=sentence,
        base=plan.base,
        head=plan.head,
        strict=plan.strict,
        orders=plan.orders,
        thresholds_of=plan.thresholds_of,
        announcements=plan.announcements,
        tools=plan.tools,
        unmeasured=plan.unmeasured,
        findings=findings,
        unfit=unfit,
    )


def _lost_orders(findings: Sequence[Finding]) -> list[Finding]:
    return [one for one in findings if one.metric == "orders lost" and one.word is Word.NOT_MEASURED]


def _choose_exit_code(plan: Plan, findings: Sequence[Finding], unfit: Sequence[str]) -> ExitCode:
    words = {finding.word for finding in findings}
    if Word.FAIL in words:
        return ExitCode.REGRESSION
    if unfit or plan.unmeasured or _lost_orders(findings) or not plan.thresholds:
        return ExitCode.UNMEASURED
    if plan.strict and words & {Word.SUSPECT, Word.INCONCLUSIVE}:
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK


def _write_sentence(plan: Plan, findings: Sequence[Finding], exit_code: ExitCode, unfit: Sequence[str]) -> str:
    """The first line of everything: what was found, and what was left out."""
    unmeasured = [f"{cell} could not be counted: {why}" for cell, why in plan.unmeasured.items()]
    unmeasured += [*(f"{one.cell}: {one.why}" for one in _lost_orders(findings)), *unfit]
    left_out = "".join(f"; {said}" for said in (*unmeasured, *_list_left_out(findings)))
    failed = [finding for finding in findings if finding.word is Word.FAIL]
    suspect = [finding for finding in findings if finding.word is Word.SUSPECT]
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"regression: {describe_finding(failed[0])}{more}{left_out}"
    if exit_code is ExitCode.UNMEASURED:
        return f"not compared: {'; '.join(unmeasured) or 'nothing was asked for'}"
    if suspect:
        more = f", and {len(suspect) - 1} more" if len(suspect) > 1 else ""
        return f"suspect: {describe_finding(suspect[0])}{more}{left_out}"
    judged = [finding for finding in findings if finding.word in (Word.PASS, Word.IMPROVED)]
    times = sum(finding.is_time for finding in judged)
    and_times = f" and {times} times" if times else ""
    cells = ", ".join(plan.thresholds)
    has_times = plan.timed is not None and plan.timed.thresholds
    without = "" if has_times else "; time was not measured"
    return f"no regression in {len(judged) - times} counts{and_times} of {cells}{left_out}{without}"


def _list_left_out(findings: Sequence[Finding]) -> list[str]:
    """What should have been counted, and why it was not."""
    by_why: dict[tuple[str, str], list[str]] = {}
    for one in findings:
        if one.word is Word.INCONCLUSIVE and not one.is_time:
            by_why.setdefault((one.metric, one.why), []).append(one.cell)
    said = [f"{metric} of {', '.join(cells)} ({why})" for (metric, why), cells in by_why.items()]
    not_counted = [f"inconclusive, for they were not counted: {', '.join(said)}"] if said else []
    noisy = [one for one in findings if one.word is Word.INCONCLUSIVE and one.is_time]
    cells = ", ".join(dict.fromkeys(one.cell for one in noisy))
    return [*not_counted, *([f"inconclusive, for they are too noisy: {len(noisy)} times of {cells}"] if noisy else [])]


def describe_finding(finding: Finding) -> str:
    """Returns a finding as a part of a sentence."""
    what = f"{finding.cell}, {finding.metric}"
    if finding.base is None or finding.head is None:
        return f"{what}: {finding.why}"
    moved = "" if finding.change is None else f"{finding.change:+.1%}, "
    per = "" if finding.metric == "orders lost" else " per order"
    why = f"; {finding.why}" if finding.why else ""
    return f"{what}{per} {moved}{format_value(finding.base)} -> {format_value(finding.head)}{why}"


def format_value(value: float | None) -> str:
    """Returns a value for a table: whole from a thousand on, else with up to two places."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}".rstrip("0").rstrip(".")
