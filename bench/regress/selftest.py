"""Checks that the judge finds what it has to find: on kept counts, some of them changed, and with faults in it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.errors import ExitCode, Unmeasured
from bench.regress.judge import Observation, Threshold
from bench.regress.judge_sets import SetRow, Timed
from bench.regress.outputs import format_counts, parse_counts, read_folder
from bench.regress.set_file import SETS, format_rows, parse_rows
from bench.regress.verdict import Plan, build_verdict

KNOWN = Path(__file__).with_name("known")
"""A comparison of a commit with itself, with all hash seeds."""

Judge = Callable[[Plan, str], int]
"""Takes a plan and the text of counts.csv; returns the exit code."""


def judge(plan: Plan, text: str) -> int:
    """The judge as it is."""
    try:
        return build_verdict(plan, parse_counts(text)).exit_code
    except Unmeasured as error:
        return int(error.exit_code)


def check_judge() -> list[str]:
    """Returns a sentence for everything that the judge, or this check of it, gets wrong; none when all is well."""
    wrong = find_errors(judge) + find_time_errors(judge_times)
    for fault, faulty in FAULTS.items():
        if not find_errors(faulty):
            wrong.append(f"a judge with this fault is taken for a sound one: {fault}")
    for fault, faulty_times in TIME_FAULTS.items():
        if not find_time_errors(faulty_times):
            wrong.append(f"a judge of times with this fault is taken for a sound one: {fault}")
    return wrong


def find_errors(judged_by: Judge) -> list[str]:
    """Returns a sentence for each case that this judge gets wrong."""
    plan, observations = read_folder(KNOWN)
    cases = _cases(observations).items()
    return _list_wrong({name: (judged_by(plan, text), expected) for name, (text, expected) in cases})


def _list_wrong(told: Mapping[str, tuple[int, ExitCode]]) -> list[str]:
    """A sentence for each case with another exit code than the right one behind it."""
    return [
        f"{name}: exit code {code} where {int(right)} is right" for name, (code, right) in told.items() if code != right
    ]


def _cases(known: Sequence[Observation]) -> dict[str, tuple[str, ExitCode]]:
    """By name, the text of counts.csv and the right exit code."""
    same = format_counts(known)
    return {
        "the same counts": (same, ExitCode.OK),
        "head takes 3 % more instructions": (_scale(known, "instructions", 1.03), ExitCode.REGRESSION),
        "head takes 3 % fewer instructions": (_scale(known, "instructions", 0.97), ExitCode.OK),
        "head takes 1 % more instructions": (_scale(known, "instructions", 1.01), ExitCode.OK),
        "head makes 10 % more system calls": (_scale(known, "system_calls", 1.1), ExitCode.REGRESSION),
        "head handles an order twice": (_scale(known, "handled_payment", 2), ExitCode.REGRESSION),
        "head keeps two objects more": (_add(known, "kept_objects", 2), ExitCode.REGRESSION),
        "head loses an order": (_add(known, "unfinished", 1), ExitCode.REGRESSION),
        "head decides otherwise": (_add(known, "books", 1), ExitCode.REGRESSION),
        "both arms lose an order": (_add(known, "unfinished", 1, ("base", "head")), ExitCode.UNMEASURED),
        "the last line is cut": (same[:-3], ExitCode.UNMEASURED),
        "a value is no number": (same.replace("\n", "\nmemory,instructions,base,0,0,much\n", 1), ExitCode.UNMEASURED),
        "an arm is missing": (format_counts([one for one in known if one.arm == "base"]), ExitCode.UNMEASURED),
        "a metric is missing": (
            format_counts([one for one in known if one.metric != "system_calls"]),
            ExitCode.UNMEASURED,
        ),
    }


def _scale(known: Sequence[Observation], metric: str, factor: float) -> str:
    """The counts with this metric of the head multiplied, beside what it differs by itself."""
    base = {(one.cell, one.seed, one.piece): one.value for one in known if one.metric == metric and one.arm == "base"}
    return format_counts(
        [
            msgspec.structs.replace(one, value=base[one.cell, one.seed, one.piece] * factor)
            if one.metric == metric and one.arm == "head"
            else one
            for one in known
        ]
    )


def _add(known: Sequence[Observation], metric: str, more: float, arms: tuple[str, ...] = ("head",)) -> str:
    return format_counts(
        [
            msgspec.structs.replace(one, value=one.value + more) if one.metric == metric and one.arm in arms else one
            for one in known
        ]
    )


def _with_loose_thresholds(plan: Plan, text: str) -> int:
    return judge(msgspec.structs.replace(plan, thresholds=_loosen(plan.thresholds)), text)


def _loosen(thresholds: Mapping[str, Mapping[str, Threshold]]) -> dict[str, dict[str, Threshold]]:
    return {
        cell: {name: Threshold(share=one.share * 100, least=one.least * 100) for name, one in metrics.items()}
        for cell, metrics in thresholds.items()
    }


def _with_arms_exchanged(plan: Plan, text: str) -> int:
    return judge(plan, text.replace(",base,", ",?,").replace(",head,", ",base,").replace(",?,", ",head,"))


def _without_integrity(plan: Plan, text: str) -> int:
    lines = text.splitlines(keepends=True)
    sound = [
        f"{line.rpartition(',')[0]},0\n" if {"unfinished", "books"} & set(line.split(",")) else line for line in lines
    ]
    return judge(plan, "".join(sound))


FAULTS: dict[str, Judge] = {
    "its thresholds are a hundred times as high": _with_loose_thresholds,
    "it takes the base for the head": _with_arms_exchanged,
    "it does not look at lost orders": _without_integrity,
    "it finds nothing": lambda plan, text: int(ExitCode.OK),
    "it finds something in everything": lambda plan, text: int(ExitCode.REGRESSION),
}


JudgeTimes = Callable[[Timed, str], int]
"""Takes what a plan says of the duels, and the text of sets.csv; returns the exit code."""


def judge_times(timed: Timed, text: str) -> int:
    """The judge as it is, of kept counts in which nothing moved and of these sets."""
    plan, observations = read_folder(KNOWN)
    try:
        return build_verdict(msgspec.structs.replace(plan, timed=timed), observations, parse_rows(text)).exit_code
    except Unmeasured as error:
        return int(error.exit_code)


def find_time_errors(judged_by: JudgeTimes) -> list[str]:
    """Returns a sentence for each case of kept sets that this judge gets wrong."""
    timed = msgspec.json.decode((KNOWN / "timed.json").read_bytes(), type=Timed)
    known = parse_rows((KNOWN / SETS).read_text("utf-8"))
    cases = _time_cases(timed, known).items()
    return _list_wrong({name: (judged_by(changed, text), expected) for name, (changed, text, expected) in cases})


def _time_cases(timed: Timed, known: Sequence[SetRow]) -> dict[str, tuple[Timed, str, ExitCode]]:
    """By name, what the plan says, the text of sets.csv and the right exit code.

    Confirmations are the screen's sets once more.
    """
    again = [msgspec.structs.replace(row, kind="confirm", set=row.set + 1000) for row in known if row.kind == "screen"]
    whole = [*known, *again]
    asked = msgspec.structs.replace(timed, rows=len(whole))
    slow = _slow(whole, "finish_p50_us", 1.1)
    lines = format_rows(whole).splitlines(keepends=True)
    lost = {"rest": {"head": "1 of 100 orders failed"}}
    return {
        "the same times": (asked, format_rows(whole), ExitCode.OK),
        "head takes 10 % longer": (asked, format_rows(slow), ExitCode.REGRESSION),
        "head takes 10 % less long": (asked, format_rows(_slow(whole, "finish_p50_us", 0.9)), ExitCode.OK),
        "head takes 10 % more CPU": (asked, format_rows(_slow(whole, "cpu_us_services", 1.1)), ExitCode.REGRESSION),
        "fresh sets clear head": (asked, format_rows([*_slow(known, "finish_p50_us", 1.1), *again]), ExitCode.OK),
        "two arms of the base differ": (
            asked,
            format_rows(_slow(whole, "cpu_us_services", 1.5, kinds=("control",))),
            ExitCode.UNMEASURED,
        ),
        "other programs disturbed every set": (
            asked,
            format_rows([msgspec.structs.replace(row, void=True) for row in whole]),
            ExitCode.UNMEASURED,
        ),
        "head loses an order": (
            msgspec.structs.replace(asked, troubles=lost),
            format_rows(whole),
            ExitCode.REGRESSION,
        ),
        "base loses an order": (
            msgspec.structs.replace(asked, troubles={"rest": {"base": "1 of 100 orders failed"}}),
            format_rows(whole),
            ExitCode.UNMEASURED,
        ),
        "another method could not be timed, and head takes 10 % longer": (
            msgspec.structs.replace(asked, unmeasured={"events": "it does not start"}),
            format_rows(slow),
            ExitCode.REGRESSION,
        ),
        "the last line is cut": (asked, format_rows(whole)[:-3], ExitCode.UNMEASURED),
        "the last lines are missing": (asked, "".join(lines[:-5]), ExitCode.UNMEASURED),
        "a line is there twice": (asked, "".join([*lines, lines[-1]]), ExitCode.UNMEASURED),
    }


def _slow(
    rows: Sequence[SetRow], metric: str, factor: float, kinds: Sequence[str] = ("screen", "confirm")
) -> list[SetRow]:
    """The sets with this metric of the head multiplied."""
    return [
        msgspec.structs.replace(row, head=row.head * factor, ratio=row.ratio * factor)
        if row.metric == metric and row.kind in kinds
        else row
        for row in rows
    ]


def _with_loose_times(timed: Timed, text: str) -> int:
    return judge_times(msgspec.structs.replace(timed, thresholds=_loosen(timed.thresholds)), text)


def _without_controls(timed: Timed, text: str) -> int:
    return _judge_kept(timed, text, lambda rows: [row for row in rows if row.kind != "control"])


def _on_the_screen_alone(timed: Timed, text: str) -> int:
    def replace(rows: list[SetRow]) -> list[SetRow]:
        screen = [row for row in rows if row.kind == "screen"]
        again = [msgspec.structs.replace(row, kind="confirm", set=row.set + 5000) for row in screen]
        return [*(row for row in rows if row.kind != "confirm"), *again]

    return _judge_kept(timed, text, replace)


def _judge_kept(timed: Timed, text: str, change: Callable[[list[SetRow]], list[SetRow]]) -> int:
    """Judges changed rows as if they were all of them; damaged ones as they are."""
    try:
        rows = parse_rows(text)
    except Unmeasured as error:
        return int(error.exit_code)
    if len(rows) != timed.rows:
        return judge_times(timed, text)
    changed = change(rows)
    return judge_times(msgspec.structs.replace(timed, rows=len(changed)), format_rows(changed))


TIME_FAULTS: dict[str, JudgeTimes] = {
    "its thresholds are a hundred times as high": _with_loose_times,
    "it does not look at controls": _without_controls,
    "it takes the screen for its confirmation": _on_the_screen_alone,
    "it finds nothing": lambda timed, text: int(ExitCode.OK),
    "it finds something in everything": lambda timed, text: int(ExitCode.REGRESSION),
}
