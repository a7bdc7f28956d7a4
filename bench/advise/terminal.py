"""An answer on the terminal, 80 columns wide: what to take, on what grounds, and what nobody knows."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.advise.claims import Claim
from bench.advise.evidence import HEADLINE
from bench.advise.nearest import AXES, Row, View
from bench.advise.question import WORDS, Question
from bench.advise.ranking import Advice, Placed, said
from bench.report.formatting import as_number, digits, estimate_ms, interval_ms
from bench.stats.equivalence import BAND
from bench.stats.intervals import Estimate
from bench.stats.summary import plain


def shown(advice: Advice) -> RenderableType:
    """Everything there is to say. What was measured elsewhere than asked is headed by where it was."""
    lines: list[RenderableType] = [Text(f"Asked: {words(advice.question)}."), Text(advice.answer, style="bold")]
    lines += [Text(sentence, style="yellow") for sentence in advice.not_measured]
    for number, view in enumerate(advice.views, 1):
        lines += [Text(), _table(advice, view, number)]
    lines.append(Text())
    lines += [Text(sentence) for sentence in _grounds(advice)]
    for method, lacking in advice.ruled_out.items():
        lines.append(Text.assemble((advice.names[method], "bold"), f" is ruled out: it {lacking}."))
    if advice.unmeasured:
        names = ", ".join(advice.names[method] for method in advice.unmeasured)
        lines.append(Text(f"Not measured at all near this: {names}."))
    lines += [Text(sentence, style="dim") for sentence in advice.remarks]
    lines += [Text(sentence, style="yellow") for sentence in advice.left_out]
    lines.append(Text(_sources(advice), style="dim"))
    return Group(*lines)


def _sources(advice: Advice) -> str:
    return (
        f"From the runs {', '.join(advice.runs)}, measured with Python clients and services on "
        f"{' and on '.join(advice.machines)}. RUN=latest asks your own latest run instead of those that are kept."
    )


def words(question: Question) -> str:
    """The question as it would be typed, with what was left out filled in."""
    typed = [f"{word}={said(field, getattr(question, field))}" for word, field in WORDS.items() if field != "needs"]
    return " ".join([*typed, f"NEEDS={','.join(question.needs) or 'nothing more'}"])


def where(view: View, question: Question) -> str:
    """At what a view was measured, and what was asked instead."""
    parts = []
    for axis in AXES:
        if axis == "format":
            parts += [] if axis in view.honoured else [f"other formats than {question.format}"]
            continue
        at = said(axis, getattr(view.place, axis))
        label = "no bursts" if (axis, at) == ("burst", "1") else _LABELS[axis].format(at)
        parts.append(label if axis in view.honoured else f"{label} instead of {said(axis, getattr(question, axis))}")
    return f"{view.run}: {', '.join(parts)}"


_LABELS = {
    "size_bytes": "{}",
    "shape": "{}",
    "rate_per_s": "{}/s",
    "burst": "bursts of {} times",
    "security": "security {}",
    "durability": "durability {}",
}


def _table(advice: Advice, view: View, number: int) -> Table:
    table = Table(
        title=f"({number}) {where(view, advice.question)}",
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
    for method in sorted(view.rows, key=lambda method: _order(advice, method)):
        table.add_row(*_row(advice, view, view.rows[method], placed.get(method), first))
    return table


def _order(advice: Advice, method: str) -> int:
    places = [one.method for one in advice.placed]
    return places.index(method) if method in places else len(places)


def _row(advice: Advice, view: View, row: Row, placed: Placed | None, first: str) -> Iterator[Text]:
    yield Text("-" if placed is None else f"{placed.place}.", style="bold")
    method = Text(row.method.title, style="bold" if placed else "dim")
    yield method.append(f"\n{row.codec}" + ("\non a line" if row.line else ""), style="not bold dim")
    yield _ms(row.metrics[HEADLINE])
    there = placed is not None and first in view.rows and row.method.name != first
    yield _ratio(view.ratio(HEADLINE, row.method.name, first)) if there else Text("")
    yield _ms(row.metrics["accept_p50_us"])
    yield _ms(row.metrics["finish_p99_us"])
    yield from (_plain(row.metrics[metric]) for metric in ("cpu_us_per_order", "wire_bytes_per_order"))
    failed, lost = row.orders["failed"] + row.orders["unfinished"], row.orders["lost"]
    text = f"{failed:,}" + (f"\n{lost:,} lost" if lost else "")
    yield Text(text, style="" if text == "0" else "bold red")


def _ms(estimate: Estimate) -> Text:
    metric = plain(estimate)
    text, ends = Text(estimate_ms(metric)), interval_ms(metric)
    return text.append(f"\n{ends[0]}-\n{ends[1]}", style="dim") if ends else text


def _ratio(estimate: Estimate) -> Text:
    if estimate.value is None:
        return Text("n/a")
    text = Text(f"{digits(estimate.value)} x")
    if estimate.low is None or estimate.high is None:
        return text
    return text.append(f"\n{digits(estimate.low)}-\n{digits(estimate.high)}", style="dim")


def _plain(estimate: Estimate) -> Text:
    return Text("n/a" if estimate.value is None else digits(as_number(estimate.value)))


def _grounds(advice: Advice) -> Iterator[str]:
    """Where the places come from, and what another method than the first gains and costs."""
    first = advice.placed[0].method if advice.placed else ""
    if len(advice.placed) > 1:
        yield (
            f"A method is ahead where the whole 95 % interval of the ratio of median completion lies beyond a tenth; "
            f"what reaches into {1 / BAND:.2f} to {BAND:g} is a tie. Against {advice.names[first]}:"
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
            yield f"  ({number}) {methods}: not measured there, or in too few rounds; on the line through {line}."


def listed(claims: Sequence[Claim], left_out: Sequence[str]) -> RenderableType:
    """Pros and cons, method by method; below each where it comes from."""
    lines: list[RenderableType] = []
    for method, of_method in groupby(claims, lambda claim: claim.method):
        lines += [Text(), Text(method.title, style="bold")]
        for claim in of_method:
            source = ", ".join(filter(None, (claim.where, claim.chart)))
            lines.append(Text.assemble("  + " if claim.kind == "pro" else "  - ", claim.text, (f" [{source}]", "dim")))
    lines += [Text(sentence, style="yellow") for sentence in left_out]
    return Group(*lines)
