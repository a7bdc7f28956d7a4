"""Renders a run for the terminal: a row per cell, then caveats with their next steps."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.report.formatting import format_estimate_ms, format_interval_ms, format_number, parse_number
from bench.report.wording import describe_sets, has_sets
from bench.results.caveats import CaveatGroup, group_caveats, no_interval
from bench.results.histograms import QUANTILES
from bench.results.measures import columns_used_in, label_column
from bench.results.repeats import count_repeats, describe_middle, name_repeat
from bench.stats.intervals import count_values_needed
from bench.stats.quantiles import samples_needed
from bench.stats.sets import MIN_SETS

LATENCIES = ("accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us")
PARTS = ("services", "broker", "driver")
MIN_ORDERS_FOR_P99 = samples_needed(QUANTILES["p99_us"])
EFFECTS_ABREAST = 4
"""So many measures fit 80 columns."""
HEADING_LETTERS = 9
AA_METRICS = (
    *LATENCIES,
    *(f"cpu_us_per_order_{part}" for part in PARTS),
    "wire_bytes_per_order",
    "context_switches_per_order",
    "rss_mib_services",
    "achieved_per_s",
)


def render_run(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> RenderableType:
    """Returns the tables and sentences of a run, from ``Run.summary()`` and ``Run.manifest``. Reads 80 columns wide."""
    cells = summary["cells"]
    word = name_repeat("round", in_sets=has_sets(summary))
    doubts = list(_collect_caveats(cells, manifest, needed=_count_needed(summary, manifest), word=word))
    deadline_s = manifest.get("profile", {}).get("deadline_s")
    censored = "∞" if deadline_s is None else f"> {deadline_s:g} s"
    lines: list[RenderableType] = [_cells_table(cells, doubts, censored, in_sets=has_sets(summary))]
    if not manifest.get("profile", {}).get("designed"):
        lines += [Text(sentence) for sentence in ratio_sentences(summary)]
    lines += [Text(sentence, style="dim") for sentence in describe_sets(summary, manifest)]
    lines += [Text(sentence, style="bold red") for sentence in _invalid_sentence(cells)]
    lines += [
        Text(sentence, style="dim")
        for sentence in (*_startup_sentence(cells), *_idle_cpu_sentence(manifest), *_durability_sentence(manifest))
    ]
    for transport, reason in dict(manifest.get("skipped", {})).items():
        lines.append(Text(f"{transport} skipped: {reason}", style="yellow"))
    for mark, (doubt, _) in enumerate(doubts, 1):
        worst, count = doubt.worst, f" ({doubt.count_text})" if doubt.count_text else ""
        lines.append(
            Text.assemble(
                (f"({mark}) {worst.name}: ", "yellow"), f"{worst.text}{count}. ", ("Next: ", "bold"), worst.next_step
            )
        )
    return Group(*lines)


def _count_needed(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> int:
    """How many trials of a cell an interval of its ratios needs: a bank gives one from the first set on."""
    if not has_sets(summary):
        return count_values_needed()
    return 1 if manifest.get("bank") else MIN_SETS


def _new_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None)


def capacity_table(capacities: pd.DataFrame) -> Table:
    """A row per method, from ``Run.capacities()``: what it sustained, what it did not, and what that means."""
    slo = ", ".join(format_number(float(slo_ms)) for slo_ms in capacities["slo_p99_ms"].unique())
    table = _new_table(f"Highest rate with p99 of completion under {slo} ms and no growing backlog, orders/s")
    for heading, justify in (("method", "left"), ("passed", "right"), ("did not", "right"), ("trials", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("")
    for row in capacities.to_dict("records"):
        rates = [
            format_number(float(row[name])) if row[name] else "n/a" for name in ("last_pass_per_s", "first_fail_per_s")
        ]
        table.add_row(Text(str(row["cell"]), style="bold"), *rates, str(row["trials"]), str(row["reason"]))
    return table


def aa_table(found: pd.DataFrame) -> Table:
    """A row per method and headline metric, from ``Run.aa()``: how often 1 was in the interval, and the noise.

    "six tell" is how far the interval of six rounds reaches either way. Reads 80 columns wide.
    """
    table = _new_table("A/A: the same method as both arms, b to a; 95 % of the intervals should hold 1")
    table.add_column("metric", no_wrap=True)
    for heading in ("hold 1", "95 % of\nthat", "ratio of all", "pair to\npair", "six\ntell"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = ""
    for row in found[found["metric"].isin(AA_METRICS)].to_dict("records"):
        if row["method"] != last:
            last = row["method"]
            table.add_row(Text(last, style="bold"))
        held, runs = int(row["held"]), int(row["runs"])
        ends = (f"{format_number(row['low'])}-{format_number(row['high'])}",) if pd.notna(row["low"]) else ()
        table.add_row(
            f" {row['metric']}",
            f"{held}/{runs}",
            f"{row['held_low']:.0%}-{row['held_high']:.0%}" if runs else "n/a",
            " ".join((f"{row['ratio']:.3f}", *ends)),
            f"{row['pair_noise']:.1%}" if pd.notna(row["pair_noise"]) else "n/a",
            f"{row['half_width']:.1%}" if pd.notna(row["half_width"]) else "n/a",
        )
    return table


def effects_table(found: pd.DataFrame) -> RenderableType:
    """What each factor does to every measure of the table of measures, from ``Run.effects()``; four abreast.

    Measures that no trial has are left out. Reads 80 columns wide.
    """
    shown = found[found["kind"].isin(("main", *_LINE_LABELS)) & found["estimate"].notna()]
    metrics = [metric for metric in columns_used_in("effect") if (shown["metric"] == metric).any()]
    parts = (metrics[at : at + EFFECTS_ABREAST] for at in range(0, len(metrics), EFFECTS_ABREAST))
    return Group(*(_effects_of(shown, part) for part in parts))


def _effects_of(found: pd.DataFrame, metrics: Sequence[str]) -> Table:
    table = _new_table("What each factor does, method by method; below it 95 % intervals")
    table.add_column("method", no_wrap=True)
    table.add_column("factor")
    for metric in metrics:
        heading = textwrap.fill(label_column(metric).heading, HEADING_LETTERS, break_long_words=False)
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [
        {str(name): "" if pd.isna(value) else value for name, value in row.items()}
        for row in found[found["metric"].isin(metrics)].to_dict("records")
    ]
    of: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        said = _LINE_LABELS.get(row["kind"]) or f"{row['factor']}: {row['level']} for {row['base']}"
        method = ":".join(filter(None, (row["transport"], row["client"])))
        of.setdefault((method, said, row["context"]), {})[row["metric"]] = row
    last = ""
    for (transport, said, context), by_metric in of.items():
        cells = [_format_effect(by_metric.get(metric)) for metric in metrics]
        method = "" if transport == last else transport
        table.add_row(Text(method, style="bold"), "\n".join(filter(None, (said, context))), *cells)
        last = transport
    return table


_LINE_LABELS = {"slope": "a KiB more", "at 0": "without any content"}


def _format_effect(row: Mapping[str, Any] | None) -> Text:
    """A ratio as times, a line in its measure's own unit."""
    if row is None or row["estimate"] == "":
        return Text("n/a")
    label, is_line = label_column(row["metric"]), row["kind"] in _LINE_LABELS
    scale = label.scale if is_line else 1.0
    unit = label.unit.replace("bytes", "B") if is_line else "x"
    text = Text(f"{format_number(row['estimate'] / scale)} {unit}")
    if row["low"] != "":
        text.append(f"\n{format_number(row['low'] / scale)}-{format_number(row['high'] / scale)}", style="dim")
    return text


def outage_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row per cell, from the ``outages`` of a summary. Reads 80 columns wide.

    Orders are sums over trials, times medians over them; what did not come in the window is longer than it.
    """
    table = _new_table("Before, then (a part away, the rate up) and afterwards: orders of all trials, median times")
    table.padding = (0, 1, 0, 0)
    table.add_column("method", overflow="fold")
    for heading in ("failed\nunfin.", "lost\ntwice\nagain", "charged,\nnot told"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in (
        "accept ms\nbefore\nthen",
        "finish ms\nbefore\nthen",
        "longest\nms",
        "backlog\ngone s",
        "as\nbefore s",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found:
        orders, times = row["orders"], row["times"]
        seen = ", ".join(f"{name} {count:,}" for name, count in row["failures"].items())
        table.add_row(
            Text.assemble(
                (str(row["cell"]), "bold"),
                ("" if row["valid"] else " INVALID", "bold red"),
                f"\n{row['fault']} {_format_seconds(times['away_s'])} s",
                f"\n{seen}",
            ),
            f"{orders['failed']:,}\n{orders['unfinished']:,}",
            f"{_format_count(orders['lost'])}\n{_format_count(orders['duplicate_outcomes'])}\n{_format_count(orders['redelivered'])}",
            _format_count(orders["charged_unconfirmed"]),
            *(_format_before_and_during(times, prefix) for prefix in ("accept_", "")),
            format_estimate_ms(times["longest_us"]),
            *(_format_seconds_interval(times[name]) for name in ("backlog_drained_s", "recovery_time_s")),
        )
    return table


def _format_count(orders: int | None) -> str:
    return "n/a" if orders is None else f"{orders:,}"


def _format_before_and_during(times: Mapping[str, Any], prefix: str) -> str:
    return "\n".join(format_estimate_ms(times[f"{prefix}{when}_p50_us"], "never") for when in ("before", "during"))


def _format_seconds(estimate: Mapping[str, Any]) -> str:
    value = estimate["estimate"]
    return (
        "n/a"
        if value is None
        else "> window"
        if math.isinf(parse_number(value))
        else format_number(parse_number(value))
    )


def _format_seconds_interval(estimate: Mapping[str, Any]) -> Text:
    text = Text(_format_seconds(estimate))
    if estimate["low"] is not None:
        low, high = (parse_number(estimate[end]) for end in ("low", "high"))
        text.append(f"\n{format_number(low)}-\n{format_number(high)}", style="dim")
    return text


def _cells_table(
    cells: Sequence[Mapping[str, Any]],
    doubts: Sequence[tuple[CaveatGroup, frozenset[str]]],
    censored: str,
    *,
    in_sets: bool,
) -> Table:
    table = Table(
        title=f"{describe_middle(in_sets=in_sets)}, below them 95 % intervals; ms from the planned time",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=None,
        padding=(0, 2, 1, 0),
    )
    table.add_column("method", overflow="fold")
    for heading in ("accept\np50", "accept\np99", "finish\np50", "finish\np99"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("orders/s\n/offered", justify="right", no_wrap=True)
    table.add_column("failed,\nunfin.", justify="right", no_wrap=True)
    table.add_column("CPU us\nper order", justify="right", no_wrap=True)
    table.add_column("valid", justify="right", no_wrap=True)
    for cell in cells:
        marks = [mark for mark, (_, names) in enumerate(doubts, 1) if cell["cell"] in names]
        table.add_row(*_cell_row(cell, marks, censored))
    return table


def _cell_row(cell: Mapping[str, Any], marks: Sequence[int], censored: str) -> Iterator[Text]:
    metrics = cell["metrics"]
    title = Text(cell["cell"], style="bold")
    if marks:
        title.append(f" ({','.join(map(str, marks))})", style="yellow")
    yield title.append(f"\n{cell['client']}\n{cell['codec']}", style="not bold dim")
    for name, metric in zip(LATENCIES, map(metrics.get, LATENCIES), strict=True):
        ends = format_interval_ms(metric, censored)
        said = format_estimate_ms(metric, censored)
        below = f"\n{ends[0]}-\n{ends[1]}" if ends else ""
        if said == "n/a" and name.endswith("p99_us") and cell["shown_trials"]:
            below = f"\n(needs\n{MIN_ORDERS_FOR_P99})"
        yield Text(said).append(below, style="dim")
    achieved = metrics["achieved_per_s"]["estimate"]
    yield Text(
        f"{'n/a' if achieved is None else format_number(parse_number(achieved))}"
        f"\n/{format_number(cell['offered_per_s'])}"
    )
    yield _format_losses(cell["orders"])
    yield Text("\n".join(filter(None, (_format_cpu(part, metrics.get(f"cpu_us_per_order_{part}")) for part in PARTS))))
    valid, trials = cell["valid_trials"], cell["trials"]
    count = Text(f"{valid}/{trials}", style="" if valid == trials else "bold red")
    yield count if cell["valid"] else count.append("\nINVALID")


def _format_losses(orders: Mapping[str, int]) -> Text:
    """Formats failed and unfinished orders; below them lost and duplicated ones, where there are any."""
    lines = [f"{orders['failed'] + orders['unfinished']:,}"]
    lines += [f"{orders[what]:,} {short}" for what, short in (("lost", "lost"), ("duplicated", "dup.")) if orders[what]]
    return Text("\n".join(lines), style="" if lines == ["0"] else "bold red")


def _format_cpu(part: str, metric: Mapping[str, Any] | None) -> str:
    value = None if metric is None else metric["estimate"]
    return "" if value is None else f"{format_number(parse_number(value))} {part[:4]}"


def _collect_caveats(
    cells: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], needed: int, word: str
) -> Iterator[tuple[CaveatGroup, frozenset[str]]]:
    """Yields each caveat once with the cells that it touches; one about the whole run has no cells.

    A cell with fewer than ``needed`` trials has no interval; ``word`` is what they are called.
    """
    behind = {cell["cell"]: cell["shown_trials"] for cell in cells}
    short = [name for name, trials in behind.items() if trials < needed]
    if short:
        some = len(short) < len(cells)
        yield (
            CaveatGroup(no_interval(max(behind[name] for name in short), needed, word), ()),
            frozenset(short if some else ()),
        )
    shown = [
        entry
        for entry in manifest.get("caveats", [])
        # Those of a search are not in the table.
        if not entry.get("trial") or _name_cell(entry["trial"]) in behind
    ]
    for doubt in group_caveats(shown):
        yield doubt, frozenset(map(_name_cell, doubt.trials))


def _name_cell(trial: str) -> str:
    """Returns the cell of a trial's name, such as 001-02-rest."""
    return str(trial).split("-", 2)[-1]


def ratio_sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields a sentence for each ratio of a cell to REST, naming method, format and durability; none without REST."""
    for ratio in summary["ratios"]:
        metric = ratio["metrics"].get("finish_p50_us")
        if metric is None or metric["estimate"] is None:
            continue
        who = f"{ratio['cell'].replace('+' + ratio['codec'], '', 1)} ({ratio['codec']})"
        base = f"{ratio['base']} ({ratio['base_codec']})"
        times = format_number(parse_number(metric["estimate"]))
        value = f"finishes in {times} times the time of {base} at p50, durability {ratio['durability']}"
        if metric["low"] is None:
            yield f"{who} {value}; no interval from {count_repeats(metric['n'], 'round', in_sets=has_sets(summary))}."
            continue
        low, high = (parse_number(metric[end]) for end in ("low", "high"))
        interval = f"95 % interval {format_number(low)} to {format_number(high)}"
        shown = ": no difference shown" if low <= 1 <= high else ""
        yield f"{who} {value} ({interval}){shown}."


def _invalid_sentence(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields a sentence naming the INVALID cells, whose ratios are missing."""
    invalid = [cell["cell"] for cell in cells if not cell["valid"]]
    if invalid:
        yield f"INVALID, so shown and not compared: {', '.join(invalid)}; the doubts below say why."


def _startup_sentence(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields how long the services took to start, where they are processes of their own."""
    times = {cell["cell"]: (cell["metrics"].get("ready_s") or {}).get("estimate") for cell in cells}
    shown = [f"{name} {format_number(parse_number(time_s))} s" for name, time_s in times.items() if time_s is not None]
    if shown:
        yield f"From the start of the four services to a probe order through all of them: {', '.join(shown)}."


def _idle_cpu_sentence(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yields the CPU that services and brokers use without load, which is part of the CPU per order."""
    known = dict(manifest.get("idle_cpu_ms_per_s", {}))
    methods = dict.fromkeys(str(cell["name"]).partition("@")[0] for cell in manifest.get("cells", ()))
    burnt = {
        method: " and ".join(f"{format_number(ms_per_s)} {part}" for part, ms_per_s in known.get(method, {}).items())
        for method in methods
    }
    if any(burnt.values()):
        said = ", ".join(f"{method} {parts}" for method, parts in burnt.items() if parts)
        yield f"Without any load a second costs, in ms of CPU: {said}; the table has it in the orders' CPU."


def _durability_sentence(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yields what an accepted order survives, method by method."""
    by_trait: dict[str, list[str]] = {}
    for transport, traits in dict(manifest.get("traits", {})).items():
        by_trait.setdefault(traits["survives"], []).append(transport)
    if by_trait:
        durability = manifest["profile"]["durability"]
        said = ". ".join(f"{' and '.join(transports)}, {trait}" for trait, transports in by_trait.items())
        yield f"What an accepted order survives, durability {durability}: {said}."
