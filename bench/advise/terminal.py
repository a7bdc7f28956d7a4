"""Renders advice, and pros and cons, for the terminal, 80 columns wide."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.advise.claims import Claim
from bench.advise.evidence import HEADLINE
from bench.advise.nearest import AXES, ComparedMethod, MethodComparison
from bench.advise.question import Question
from bench.advise.ranking import Advice, RankedMethod, format_level
from bench.report.formatting import format_estimate_ms, format_interval_ms, format_number, parse_number
from bench.results.question_settings import QUESTION
from bench.results.repeats import name_repeat
from bench.stats.equivalence import EQUIVALENCE_BAND
from bench.stats.intervals import Estimate
from bench.stats.summary import to_json_estimate


def render_advice(advice: Advice) -> RenderableType:
    """Returns the whole advice as tables and sentences; what was measured elsewhere than asked is headed by where."""
    lines: list[RenderableType] = [
        Text(f"Asked: {format_question(advice.question)}."),
        Text(advice.answer, style="bold"),
    ]
    lines += [Text(sentence, style="yellow") for sentence in advice.not_measured]
    for number, view in enumerate(advice.views, 1):
        lines += [Text(), _comparison_table(advice, view, number)]
    lines.append(Text())
    lines += [Text(sentence) for sentence in _ground_sentences(advice)]
    for method, lacking in advice.ruled_out.items():
        lines.append(Text.assemble((advice.names[method], "bold"), f" is ruled out: it {lacking}."))
    if advice.unmeasured:
        names = ", ".join(advice.names[method] for method in advice.unmeasured)
        lines.append(Text(f"Not measured at all near this: {names}."))
    lines += [Text(sentence, style="dim") for sentence in advice.remarks]
    lines += [Text(sentence, style="yellow") for sentence in advice.left_out]
    lines.append(Text(_source_sentence(advice), style="dim"))
    return Group(*lines)


def _source_sentence(advice: Advice) -> str:
    return (
        f"From the runs {', '.join(advice.runs)}, measured with Python clients and services on "
        f"{' and on '.join(advice.machines)}. RUN=latest asks your own latest run instead of those that are kept."
    )


def format_question(question: Question) -> str:
    """Formats the question as it would be typed, with defaults filled in."""
    typed = [
        f"{word}={format_level(field, getattr(question, field))}"
        for word, field in ((name, spec.key) for name, spec in QUESTION.items())
        if field != "needs"
    ]
    return " ".join([*typed, f"NEEDS={','.join(question.needs) or 'nothing more'}"])


def describe_conditions(view: MethodComparison, question: Question) -> str:
    """Describes the conditions of a comparison, and what was asked instead where they differ."""
    parts = []
    for axis in AXES:
        if axis == "format":
            parts += [] if axis in view.matched_axes else [f"other formats than {question.format}"]
            continue
        at = format_level(axis, getattr(view.place, axis))
        label = "no bursts" if (axis, at) == ("burst", "1") else _AXIS_LABELS[axis].format(at)
        parts.append(
            label if axis in view.matched_axes else f"{label} instead of {format_level(axis, getattr(question, axis))}"
        )
    return f"{view.run}: {', '.join(parts)}"


_AXIS_LABELS = {
    "size_bytes": "{}",
    "shape": "{}",
    "rate_per_s": "{}/s",
    "burst": "bursts of {} times",
    "security": "security {}",
    "durability": "durability {}",
}


def _comparison_table(advice: Advice, view: MethodComparison, number: int) -> Table:
    table = Table(
        title=f"({number}) {describe_conditions(view, advice.question)}",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold")
    for heading in (
        "finish\np50 ms",
        "to the\nfirst",
        "accept\np50 ms",
        "finish\np99 ms",
        "CPU us",
        "bytes",
        "failed,\nunfin.",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    placed = {one.method: one for one in advice.placed}
    first = advice.placed[0].method if advice.placed else ""
    for method in sorted(view.rows, key=lambda method: _rank_index(advice, method)):
        table.add_row(*_method_row(advice, view, view.rows[method], placed.get(method), first))
    return table


def _rank_index(advice: Advice, method: str) -> int:
    places = [one.method for one in advice.placed]
    return places.index(method) if method in places else len(places)


def _method_row(
    advice: Advice, view: MethodComparison, row: ComparedMethod, placed: RankedMethod | None, first: str
) -> Iterator[Text]:
    yield Text("-" if placed is None else f"{placed.place}.", style="bold")
    method = Text(row.method.title, style="bold" if placed else "dim")
    yield method.append(f"\n{row.codec}" + ("\non a line" if row.line else ""), style="not bold dim")
    yield _format_ms(row.metrics[HEADLINE])
    there = placed is not None and first in view.rows and row.method.name != first
    yield _format_ratio(view.ratio(HEADLINE, row.method.name, first)) if there else Text("")
    yield _format_ms(row.metrics["accept_p50_us"])
    yield _format_ms(row.metrics["finish_p99_us"])
    yield from (_format_plain(row.metrics[metric]) for metric in ("cpu_us_per_order", "wire_bytes_per_order"))
    failed, lost = row.orders["failed"] + row.orders["unfinished"], row.orders["lost"]
    text = f"{failed:,}" + (f"\n{lost:,} lost" if lost else "")
    yield Text(text, style="" if text == "0" else "bold red")


def _format_ms(estimate: Estimate) -> Text:
    metric = to_json_estimate(estimate)
    text, ends = Text(format_estimate_ms(metric)), format_interval_ms(metric)
    return text.append(f"\n{ends[0]}-\n{ends[1]}", style="dim") if ends else text


def _format_ratio(estimate: Estimate) -> Text:
    if estimate.value is None:
        return Text("n/a")
    text = Text(f"{format_number(estimate.value)} x")
    if estimate.low is None or estimate.high is None:
        return text
    return text.append(f"\n{format_number(estimate.low)}-\n{format_number(estimate.high)}", style="dim")


def _format_plain(estimate: Estimate) -> Text:
    return Text("n/a" if estimate.value is None else format_number(parse_number(estimate.value)))


def _ground_sentences(advice: Advice) -> Iterator[str]:
    """Yields what the ranking rests on, and what each other method gains and costs against the first."""
    first = advice.placed[0].method if advice.placed else ""
    if len(advice.placed) > 1:
        yield (
            f"A method is ahead where the whole 95 % interval of the ratio of median completion lies beyond a tenth; "
            f"what reaches into {1 / EQUIVALENCE_BAND:.2f} to {EQUIVALENCE_BAND:g} is a tie. "
            f"Against {advice.names[first]}:"
        )
    for placed in advice.placed:
        name = advice.names[placed.method]
        if placed.overloaded:
            yield f"  {name} {placed.overloaded}."
        if placed.method == first or placed.overloaded:
            continue
        for gain, heading in ((True, "gains"), (False, "costs")):
            trades = [
                f"{trade.said}{f' ({trade.view + 1})' if len(advice.views) > 1 else ''}"
                for trade in placed.trades
                if trade.gain is gain
            ]
            if trades:
                yield f"  {name} {heading}: {'; '.join(trades)}."
        if not placed.trades:
            yield f"  {name}: no difference shown."
    for number, view in enumerate(advice.views, 1):
        lines = {row.line for row in view.rows.values() if row.line}
        for line in sorted(lines):
            methods = ", ".join(row.method.title for row in view.rows.values() if row.line == line)
            few = f"{name_repeat('round', in_sets=view.in_sets)}s"
            yield f"  ({number}) {methods}: not measured there, or in too few {few}; on the line through {line}."


def render_claims(claims: Sequence[Claim], left_out: Sequence[str]) -> RenderableType:
    """Returns pros and cons by method, each with its source."""
    lines: list[RenderableType] = []
    for method, of_method in groupby(claims, lambda claim: claim.method):
        lines += [Text(), Text(method.title, style="bold")]
        for claim in of_method:
            source = ", ".join(filter(None, (claim.where, claim.chart)))
            lines.append(Text.assemble("  + " if claim.kind == "pro" else "  - ", claim.text, (f" [{source}]", "dim")))
    lines += [Text(sentence, style="yellow") for sentence in left_out]
    return Group(*lines)
