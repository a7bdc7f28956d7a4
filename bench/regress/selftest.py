"""Checks that the judge finds what it has to find: on kept counts, some of them changed, and with faults in it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.errors import ExitCode, Unmeasured
from bench.regress.judge import Observation, Threshold
from bench.regress.outputs import format_counts, parse_counts, read_folder
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
    wrong = find_errors(judge)
    for fault, faulty in FAULTS.items():
        if not find_errors(faulty):
            wrong.append(f"a judge with this fault is taken for a sound one: {fault}")
    return wrong


def find_errors(judged_by: Judge) -> list[str]:
    """Returns a sentence for each case that this judge gets wrong."""
    plan, observations = read_folder(KNOWN)
    found = []
    for name, (changed, expected) in _cases(observations).items():
        if (code := judged_by(plan, changed)) != expected:
            found.append(f"{name}: exit code {code} where {int(expected)} is right")
    return found


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
    loose = {
        cell: {name: Threshold(share=one.share * 100, least=one.least * 100) for name, one in metrics.items()}
        for cell, metrics in plan.thresholds.items()
    }
    return judge(msgspec.structs.replace(plan, thresholds=loose), text)


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
