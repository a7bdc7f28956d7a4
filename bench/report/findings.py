"""Writes a run's findings as sentences, each with its interval.

Where an interval shows no difference, the sentence says "no difference shown".
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from bench.report import style
from bench.report.charts.effects import MIN_SIZES
from bench.report.charts.ratios import select_ratios
from bench.report.charts.recovery_heatmap import format_row_label
from bench.report.formatting import format_number
from bench.report.run_view import RunView
from bench.report.traced_numbers import Sentence, SentencePart, trace_estimate, trace_number
from bench.report.wording import BEST, describe_ratio, mark_best_cells, parse_estimate
from bench.results import environment as machine
from bench.results.repeats import count_repeats, name_repeat
from bench.stats.effects import KIB, SIZE_COLUMN
from bench.stats.equivalence import classify_ratio
from bench.stats.intervals import CONFIDENCE

CONFIDENCE_TEXT = f"{CONFIDENCE:.0%}".replace("%", " %")
MAX_RATIOS = 8
"""The most ratios in sentences; a chart and a table have the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A heading, the sentences below it, and the run that they are about."""

    heading: str
    run: str
    sentences: tuple[Sentence, ...]


def describe_machines(readings: Sequence[RunView]) -> str:
    """Returns the sentence that a reader needs before any number: language and machines of these runs."""
    machines = dict.fromkeys(machine.describe_machine(reading.manifest.get("machine", {})) for reading in readings)
    return f"Measured with Python clients and services, on {' and on '.join(machines)}."


def build_findings(readings: Sequence[RunView]) -> list[Paragraph]:
    """Returns the findings of each run, paragraph by paragraph; a run without any gets one that says so."""
    found: list[Paragraph] = []
    for reading in readings:
        parts = [
            Paragraph(heading=heading, run=reading.name, sentences=tuple(said))
            for heading, of in _PARAGRAPH_BUILDERS
            if (said := list(of(reading)))
        ]
        nothing = Sentence((f"The run {reading.name} says nothing of any method; its doubts below say why.",))
        found += parts or [Paragraph(heading="Nothing to tell", run=reading.name, sentences=(nothing,))]
    return found


def _describe_speed(reading: RunView) -> Iterator[Sentence]:
    """Yields REST's own time and every other method's ratio to it, where cells differ by their method alone."""
    cells = {cell["cell"]: cell for cell in reading.summary["cells"]}
    invalid = [style.format_cell_name(name, cell["transport"]) for name, cell in cells.items() if not cell["valid"]]
    ratios = reading.summary["ratios"]
    if not reading.profile.get("designed") and len(ratios) <= MAX_RATIOS and reading.aa.empty:
        of_base: dict[str, list[Mapping[str, Any]]] = {}
        for ratio in ratios:
            of_base.setdefault(ratio["base"], []).append(ratio)
        bases = list(of_base) or [name for name, cell in cells.items() if cell["valid"]]
        for base in bases:
            yield _describe_base(reading, cells[base])
            yield from _describe_fastest(reading, [base, *(ratio["cell"] for ratio in of_base.get(base, ()))])
            for ratio in of_base.get(base, ()):
                yield from _describe_ratio_to_base(reading, ratio)
    elif len(ratios) > MAX_RATIOS and not reading.profile.get("designed"):
        where = "the chart below" if select_ratios(ratios) else "summary.json: they are too many for a chart"
        yield Sentence((f"{len(ratios)} ratios to REST, measured alike, stand in {where}.",))
    if invalid and len(invalid) <= MAX_RATIOS:
        yield Sentence((f"INVALID, so shown and not compared: {', '.join(invalid)}.",))
    elif invalid:
        yield Sentence((f"{len(invalid)} of {len(cells)} cells are INVALID, so shown and not compared.",))
    for name, why in dict(reading.manifest.get("skipped", {})).items():
        yield Sentence((f"{style.format_cell_name(name)} was not measured: {why}.",))
    for cell in cells.values():
        if not cell["orders"]["finished"]:
            yield Sentence((f"No order of {style.format_cell_name(cell['cell'], cell['transport'])} finished.",))


def _describe_base(reading: RunView, cell: Mapping[str, Any]) -> Sentence:
    where = f"{reading.name} cells {cell['cell']}"
    rows = reading.trials[reading.trials["cell"] == cell["cell"]]
    size = format_number(float(rows["order_bytes"].iloc[0]) / KIB)
    at = (
        f"At {format_number(cell['offered_per_s'])} orders/s of {size} KiB, {rows['arrivals'].iloc[0]} arrivals, "
        f"durability {cell['durability']}, security {rows['security'].iloc[0]}: "
    )
    name = f"{style.format_cell_name(cell['cell'], cell['transport'])} ({cell['codec']})"
    p50, p99 = (cell["metrics"].get(f"finish_{quantile}_us") for quantile in ("p50", "p99"))
    if p50 is None or p50["estimate"] is None:
        return Sentence((f"{at}{name} brought too few orders to tell a median.",))
    parts: list[SentencePart] = [f"{at}the median order over {name} finishes in "]
    never = "no time: half did not finish"
    parts.append(trace_estimate(p50, f"{where} finish_p50_us", scale=1e-3, unit="ms", censored=never))
    parts.append(", and 99 in 100 within ")
    if p99 is None or p99["estimate"] is None:
        parts.append("a time that so few orders do not tell")
    else:
        never = "no time: more failed"
        parts.append(trace_estimate(p99, f"{where} finish_p99_us", scale=1e-3, unit="ms", censored=never))
    trials = f"over {count_repeats(cell['shown_trials'], 'trial', in_sets=reading.in_sets)}"
    sure = (
        f"{trials}, too few for intervals"
        if p50["low"] is None
        else f"in brackets {CONFIDENCE_TEXT} intervals {trials}"
    )
    return Sentence((*parts, f"; {sure}."))


def _describe_fastest(reading: RunView, names: Sequence[str]) -> Iterator[Sentence]:
    """Yields the sentence that names the fastest of these cells at the median order, or those that tie."""
    marks = mark_best_cells(reading.trials, "finish_p50_us", reading.statistics)
    shown = {name: style.format_cell_name(name, reading.transports[name]) for name in names if name in marks}
    if any(marks[name] == BEST for name in shown):
        yield Sentence((f"{', '.join(shown.values())} finishes it first: every other is shown to take more.",))
    elif shown:
        said = f"Of {', '.join(shown.values())} none is shown to finish it sooner than the others by more than a tenth"
        rest = [style.format_cell_name(name, reading.transports[name]) for name in names if name not in marks]
        later = (
            f"; {', '.join(rest)} {'is' if len(rest) == 1 else 'are'} shown to be later than the first" if rest else ""
        )
        yield Sentence((f"{said}{later}.",))


def _describe_ratio_to_base(reading: RunView, ratio: Mapping[str, Any]) -> Iterator[Sentence]:
    metric = ratio["metrics"].get("finish_p50_us")
    if metric is None or metric["estimate"] is None:
        return
    where = f"{reading.name} ratios {ratio['cell']}"
    name = f"{style.format_cell_name(ratio['cell'], ratio['transport'])} ({ratio['codec']})"
    parts: list[SentencePart] = [f"{name} takes ", trace_estimate(metric, f"{where} finish_p50_us")]
    told = describe_ratio(parse_estimate(metric), in_sets=reading.in_sets)
    parts += [f" times as long in the median as REST ({ratio['base_codec']}): {told}"]
    for other, said in (("finish_p99_us", "at p99"), ("cpu_us_per_order_services", "in CPU of the services")):
        also = ratio["metrics"].get(other)
        if also is not None and also["estimate"] is not None:
            parts += [
                "; ",
                trace_estimate(also, f"{where} {other}"),
                f" {said}: {describe_ratio(parse_estimate(also), in_sets=reading.in_sets)}",
            ]
    yield Sentence((*parts, "."))


def _describe_capacity(reading: RunView) -> Iterator[Sentence]:
    for row in reading.capacities.to_dict("records"):
        name = f"{style.format_cell_name(row['cell'], row['transport'])} ({row['codec']})"
        where = f"{reading.name} capacity {row['cell']}"
        if row["answer"] != "capacity":
            yield Sentence((f"{name} has no capacity found: {row['reason']}.",))
            continue
        yield Sentence(
            (
                f"{name} sustains ",
                trace_number(float(row["last_pass_per_s"]), f"{where} last_pass_per_s"),
                " orders/s with p99 of completion under ",
                trace_number(float(row["slo_p99_ms"]), f"{where} slo_p99_ms"),
                " ms, and not ",
                trace_number(float(row["first_fail_per_s"]), f"{where} first_fail_per_s"),
                ".",
            )
        )


def _describe_size_effect(reading: RunView) -> Iterator[Sentence]:
    """Yields what a KiB more costs, method by method, where there are enough sizes for a line."""
    if reading.trials[SIZE_COLUMN].nunique() < MIN_SIZES:
        return
    for number, row in enumerate(reading.summary.get("effects", ())):
        if row["kind"] == "slope" and row["metric"] == "finish_p50_us" and row["estimate"] is not None:
            name = style.format_method_name(row["transport"], row["product"])
            context = f" ({row['context'].replace('=', ' ')})" if row["context"] else ""
            bent = f"; {row['reason']}" if row["reason"] and "straight" in row["reason"] else ""
            where = f"{reading.name} effects {number}"
            slope = trace_estimate(row, where, unit="us")
            yield Sentence((f"Over {name}{context} a KiB more adds ", slope, f" to the median{bent}."))


def _describe_factor_effects(reading: RunView) -> Iterator[Sentence]:
    """Yields the effects that are shown, and the number of the others; none where every trial has a fault."""
    if len(reading.trials) and (reading.trials["fault"] != "none").all():
        return
    rows = [
        (number, row)
        for number, row in enumerate(reading.summary.get("effects", ()))
        if row["estimate"] is not None and row["metric"] in _EFFECT_WORDING and _is_reported(row)
    ]
    ties: dict[str, list[str]] = {}
    elsewhere: list[Sentence] = []
    for number, row in rows:
        if row["kind"] != "main" or _equals_completion(row, rows):
            continue
        ratio, (what, times) = parse_estimate(row), _EFFECT_WORDING[row["metric"]]
        name = style.format_method_name(row["transport"], row["product"])
        said = f"{row['factor']} {row['level']} for {row['base']}"
        if not classify_ratio(ratio).is_tie:
            where = f"{reading.name} effects {number}"
            yield Sentence((f"Over {name}, {said} makes {what} ", trace_estimate(row, where), f" times {times}."))
            continue
        about = "" if row["metric"] == "finish_p50_us" else f", in {what}"
        ties.setdefault(f"{said}{about}: {describe_ratio(ratio)}", []).append(name)
        for at, one in rows:
            if (
                one["kind"] == "ratio"
                and _effect_key(one) == _effect_key(row)
                and not classify_ratio(parse_estimate(one)).is_tie
            ):
                there = one["context"].replace("=", " ")
                where = f"{reading.name} effects {at}"
                parts = (
                    f"Over {name} at {there}, {said} makes {what} ",
                    trace_estimate(one, where),
                    f" times {times}.",
                )
                elsewhere.append(Sentence(parts))
    yield from elsewhere
    for said, names in ties.items():
        yield Sentence((f"{said}, over {', '.join(names)}.",))


_EFFECT_WORDING: Mapping[str, tuple[str, str]] = {
    "finish_p50_us": ("the median", "as long"),
    "accept_p50_us": ("the median acceptance", "as long"),
    "wire_bytes_per_order": ("an order's bytes on the wire", "as many"),
}
_FACTORS_BY_METRIC: Mapping[str, Set[str]] = {
    "accept_p50_us": {"arrivals"},
    "wire_bytes_per_order": {"codec", "compression"},
}
"""The factors whose effect on a metric says more than the effect on completion."""


def _is_reported(row: Mapping[str, Any]) -> bool:
    return row["metric"] not in _FACTORS_BY_METRIC or row["factor"] in _FACTORS_BY_METRIC[row["metric"]]


def _effect_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("transport", "client", "product", "factor", "level", "base", "metric"))


def _equals_completion(row: Mapping[str, Any], rows: Sequence[tuple[int, Mapping[str, Any]]]) -> bool:
    """Returns whether a row on acceptance repeats that on completion, as in a chain, which accepts on finishing."""
    if row["metric"] != "accept_p50_us":
        return False
    of_completion = _effect_key({**row, "metric": "finish_p50_us"})
    return any(
        one["kind"] == "main" and _effect_key(one) == of_completion and one["estimate"] == row["estimate"]
        for _, one in rows
    )


def _describe_connections(reading: RunView) -> Iterator[Sentence]:
    """Yields what is shown about the first order on a new connection, method by method."""
    by_method: dict[tuple[str, str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for number, row in enumerate(reading.summary.get("effects", ())):
        if row["kind"] == "main" and row["metric"] == "cold_us" and row["estimate"] is not None:
            name = style.format_method_name(row["transport"], row["product"])
            by_method.setdefault((name, row["factor"], row["base"]), []).append((number, row))
    for (name, factor, base), rows in by_method.items():
        parts: list[SentencePart] = []
        for number, row in rows:
            parts += [
                ", " if parts else "",
                f"{row['level']} ",
                trace_estimate(row, f"{reading.name} effects {number}"),
            ]
        yield Sentence((f"Over {name}, times as long as with {factor} {base}: ", *parts, "."))


def _describe_outages(reading: RunView) -> Iterator[Sentence]:
    """Yields, for each part that was away, how long it was on each method, and the orders' fate over all trials."""
    by_fault: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, row in enumerate(reading.summary.get("outages", ())):
        by_fault.setdefault(row["fault"], []).append((number, row))
    for fault, rows in by_fault.items():
        parts: list[SentencePart] = [f"{fault}: "]
        for place, (number, row) in enumerate(rows):
            parts += [
                "; " if place else "",
                format_row_label(row["cell"], fault),
                *_describe_outage(row, f"{reading.name} outages {number}"),
            ]
        yield Sentence((*parts, "."))


def _describe_outage(row: Mapping[str, Any], where: str) -> Iterator[SentencePart]:
    times, orders = row["times"], row["orders"]
    if times["away_s"]["estimate"] is not None:
        yield from (" for ", trace_number(times["away_s"]["estimate"], f"{where} away_s estimate"), " s")
    planned = trace_number(orders["planned"], f"{where} planned")
    bad = {name: orders[name] for name in ("failed", "unfinished", "lost") if orders[name] != 0}
    yield from (", of ", planned, " orders ") if bad else (", all ", planned, " orders finished")
    for place, (name, count) in enumerate(bad.items()):
        said = "unknown" if count is None else trace_number(count, f"{where} {name}")
        yield from (", " if place else "", said, f" {name}")
    if times["recovery_time_s"]["estimate"] is not None:
        yield ", as before after "
        yield trace_estimate(
            times["recovery_time_s"], f"{where} recovery_time_s", unit="s", censored="more than the window's"
        )


def _describe_aa(reading: RunView) -> Iterator[Sentence]:
    for row in reading.aa.to_dict("records"):
        if row["metric"] == "finish_p50_us" and row["runs"]:
            where = f"{reading.name} aa {row['method']} finish_p50_us"
            yield Sentence(
                (
                    f"{style.format_cell_name(row['method'])} against itself: of ",
                    trace_number(int(row["runs"]), f"{where} runs"),
                    f" runs of six {name_repeat('round', in_sets=reading.in_sets)}s ",
                    trace_number(int(row["held"]), f"{where} held"),
                    " had no difference of the median in their interval, which reached ",
                    trace_number(float(row["half_width"]), f"{where} half_width", scale=100),
                    " % either way in the middle run: six of them cannot show smaller differences.",
                )
            )


_PARAGRAPH_BUILDERS = (
    ("Which is faster", _describe_speed),
    ("How much each carries", _describe_capacity),
    ("What a larger order costs", _describe_size_effect),
    ("What changes it", _describe_factor_effects),
    ("What the first order on a new connection costs", _describe_connections),
    ("When a part is away, or the rate is up", _describe_outages),
    ("How small a difference can be told", _describe_aa),
)
