"""The table of subcommands: what each is for, which settings it takes, and which file runs it.

It imports the standard library alone, so that help and the refusal of a typo come at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.results.question_settings import QUESTION
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand: `fourways NAME`, and `fourways harness NAME` where ``harness``."""

    name: str
    help: str
    module: str
    """Of bench.cli; its function ``run(asked)`` does the work."""
    own: Mapping[str, SettingSpec]
    """The settings that it takes beside those of a profile."""
    takes_profile: bool = False
    """Whether it takes PROFILE= and every setting of a profile."""
    harness: bool = False
    servers: bool = False
    """Whether it takes servers by URL: RABBITMQ_URL=, KAFKA_BOOTSTRAP=, KEYS= and a plug-in's NAME_URL=."""
    has_json: bool = False
    """Whether --json prints the result as JSON."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """Words that may come first and ask for something else, and what each is for. A word behind one is RUN=."""

    @property
    def settings(self) -> Mapping[str, SettingSpec]:
        """Every setting that it takes, by name; those of a profile as the table has them now."""
        return {PROFILE.name: PROFILE, **SETTINGS, **self.own} if self.takes_profile else self.own


def _table(*specs: SettingSpec) -> dict[str, SettingSpec]:
    return {spec.name: spec for spec in specs}


def _own(name: str, kind: Any, help_: str, default: Any = None, **more: Any) -> SettingSpec:
    return SettingSpec(name=name, key="", kind=kind, help=help_, default=default, **more)


RESULTS = _own("RESULTS", "path", "the folder that runs are kept in", "results")
STATE = _own("STATE", "path", "the folder of brokers' data, databases, jars and keys", ".fourways")
RUN = _own("RUN", "path", "a run: its id, its folder, latest, or the name of a kept one", "latest")
RUNS = replace(RUN, help="runs, with commas between them; without it the kept ones in results/reference", default=None)
PROFILE = _own("PROFILE", "path", "a profile of scenarios/profiles by name, or a TOML file", "default")
THRESHOLDS = _own(
    "THRESHOLDS", "text", "limits that every cell has to keep, as p99<50ms,failed<0.1%; grpc/p99<50ms is of one cell"
)
EXPORTS = ("junit", "bencher", "github", "github-larger", "openmetrics")
RESUME = _own("RESUME", "path", "go on with this run; ROUNDS= may ask for more rounds of it")
SECONDS = _own("SECONDS_EACH", "seconds", "the length of each measurement", 10, unit="s", least=0.1, most=3600)


def _some(*names: str, **defaults: Any) -> dict[str, SettingSpec]:
    """Settings of a profile, with the defaults of this command."""
    return {name: replace(SETTINGS[name], default=defaults.get(name, SETTINGS[name].default)) for name in names}


COMMANDS: tuple[Command, ...] = (
    Command(
        name="bench",
        help="Measure methods in rounds of trials, and write a report.",
        module="bench",
        own=_table(THRESHOLDS, RESUME, RESULTS, STATE),
        takes_profile=True,
        servers=True,
        has_json=True,
    ),
    Command(
        name="study",
        help="Measure what a factor does: PROFILE=size, format, frequency, security, capacity and others.",
        module="study",
        own=_table(RESUME, RESULTS, STATE),
        takes_profile=True,
        servers=True,
        has_json=True,
    ),
    Command(
        name="report",
        help="Draw report.html, report.md and charts/ of one run or several.",
        module="report",
        own=_table(
            replace(RUN, help=f"{RUN.help}; several with commas"),
            _own("OUT", "path", "the folder to write to; without it that of the first run"),
            RESULTS,
        ),
    ),
    Command(
        name="advise",
        help="Say which method fits a use, and why, from what was measured.",
        module="advise",
        own={**QUESTION, **_table(RUNS, RESULTS)},
        has_json=True,
    ),
    Command(
        name="pros",
        help="List pros and cons of each method, each with its number and its source.",
        module="pros",
        own=_table(RUNS, RESULTS),
        has_json=True,
    ),
    Command(
        name="compare",
        help="Set two runs side by side: what moved in all, what differs, and each cell beside a reference.",
        module="compare",
        own=_table(
            _own("A", "path", "the first run: id, folder, latest or the name of a kept one"),
            _own("B", "path", "the second run"),
            RESULTS,
        ),
        has_json=True,
    ),
    Command(
        name="regress",
        help="Say whether a revision takes more than another by counts (3 minutes), or longer (BUDGET).",
        module="regress",
        own={
            **_table(
                _own("BASE", "path", "the revision to compare with: a commit, a tag or a branch"),
                _own("HEAD", "path", "the revision that is judged; without it the working tree as it is"),
                replace(
                    SETTINGS["TRANSPORT"],
                    key="",
                    default=None,
                    help="methods, with commas between them; without it those of regress.toml",
                ),
                _own(
                    "BUDGET",
                    "seconds",
                    "for timing both revisions by turns; 0: they are counted alone",
                    600,
                    unit="s",
                    zero=True,
                    least=60,
                    most=36_000,
                ),
                _own("STRICT", "flag", "whether what is suspect or was not counted ends with 11", False),
                _own("SEEDS", "count", "hash seeds for all; what looks suspicious gets three", 1, least=1, most=3),
                _own("RUN", "path", "of judge: a comparison, by its id or its folder", "latest"),
                RESULTS,
                STATE,
            ),
        },
        servers=True,
        has_json=True,
        actions={
            "history": "print what was remembered, as a CSV for Apache Otava",
            "judge": "judge the counts of a comparison again: `fourways regress judge FOLDER`",
            "parent": "count the working tree against its parent commit, for memory and rest; it always ends with 0",
            "remember": "add a comparison to results/regress/history.jsonl: ratios to its base, for a nightly run",
            "selftest": "check that the judge finds what it has to find; a second",
        },
    ),
    Command(
        name="export",
        help="Print a run's figures in the format of another program; of a comparison by `regress` as well.",
        module="export",
        own=_table(
            _own("AS", "word", "the format", "junit", choices=EXPORTS),
            THRESHOLDS,
            RUN,
            RESULTS,
        ),
    ),
    Command(
        name="show",
        help="Print the tables of a run again.",
        module="show",
        own=_table(RUN, RESULTS),
        has_json=True,
    ),
    Command(
        name="hops",
        help="Print where an order's time went, by service and part.",
        module="hops",
        own=_table(RUN, RESULTS),
        has_json=True,
    ),
    Command(
        name="health",
        help="Print how near a run's trials came to the limits of validity.",
        module="health",
        own=_table(RUN, RESULTS),
        has_json=True,
    ),
    Command(
        name="web",
        help="Start the services of one method and Locust's web page to load them.",
        module="web",
        own=_table(
            _own("WEB_PORT", "count", "the port of the page on 127.0.0.1", 8089, least=1, most=65535),
            STATE,
        ),
        takes_profile=True,
        servers=True,
    ),
    Command(name="up", help="Start RabbitMQ and Kafka and keep them running.", module="up", own=_table(STATE)),
    Command(name="down", help="Stop what `up` started, and clean up.", module="down", own=_table(STATE)),
    Command(
        name="doctor",
        help="Say what is here, what is missing, and what to type.",
        module="doctor",
        own=_table(STATE),
        servers=True,
        has_json=True,
    ),
    Command(
        name="setup",
        help="Install what native brokers need.",
        module="setup",
        own={
            **_some("TRANSPORT"),
            **_table(STATE, _own("PYTHON", "path", "the Python of .venv; without it the best of those that are here")),
        },
    ),
    Command(
        name="certificates",
        help="Make a folder of certificates, passwords and tokens for servers given by URL.",
        module="certificates",
        own=_table(_own("FOLDER", "path", "the folder to make")),
    ),
    Command(
        name="selftest",
        help="Check that the harness reports what is known beforehand; 5 minutes.",
        module="selftest",
        own=_table(_own("ONLY", "path", "only cases whose name has these words")),
        harness=True,
        has_json=True,
    ),
    Command(
        name="overhead",
        help="Measure what the load generator itself adds; 8 minutes.",
        module="overhead",
        own=_table(
            replace(SECONDS, default=6),
            replace(SETTINGS["ROUNDS"], key="", default=3, help="rounds of lateness and of cost"),
            _own("PAIRS", "count", "pairs of trials through Locust and directly", 10, least=1, most=10_000),
            STATE,
        ),
        harness=True,
        has_json=True,
    ),
    Command(
        name="baseline",
        help="Measure our cost beside the barest chain of the same libraries.",
        module="baseline",
        own={
            **_some("TRANSPORT", "PAYLOAD", PAYLOAD=200),
            **_table(
                replace(SETTINGS["ROUNDS"], key="", default=4, help="rounds, each with both arms"),
                _own("ORDERS", "count", "orders of the closed loop", 4000, least=1, most=10_000_000),
                replace(SECONDS, default=6),
                RESULTS,
                STATE,
            ),
        },
        harness=True,
        has_json=True,
        servers=True,
    ),
    Command(
        name="crosscheck",
        help="Measure the same services with vegeta, ghz, PerfTest and EndToEndLatency; 4 minutes.",
        module="crosscheck",
        own=_table(
            _own("RATE", "count", "orders or messages a second", 100, least=1, most=1_000_000),
            replace(SETTINGS["ROUNDS"], key="", default=3, help="rounds, ours and theirs in turns"),
            SECONDS,
            STATE,
        ),
        harness=True,
        has_json=True,
    ),
    Command(
        name="connections",
        help="Measure what a new connection costs at each level of security; 4 minutes.",
        module="connections",
        own={**_some("TRANSPORT", "SECURITY", "ROUNDS"), **_table(RESULTS, STATE)},
        harness=True,
        has_json=True,
        servers=True,
    ),
    Command(
        name="codecs",
        help="Measure bytes and nanoseconds of every format by itself; half a minute.",
        module="codecs",
        own=_table(
            replace(SETTINGS["ROUNDS"], key="", default=7, help="rounds in which all formats take turns"),
            _own("ROUND_MS", "number", "milliseconds of each step in a round", 20, unit="ms", most=60_000),
        ),
        harness=True,
        has_json=True,
    ),
    Command(
        name="report-cost",
        help="Measure the seconds and the memory that a report takes.",
        module="report_cost",
        own=_table(replace(RUN, default="default"), RESULTS),
        harness=True,
        has_json=True,
    ),
    Command(
        name="lead-in",
        help="Print how slow the first orders of a slice are, of a run with SLICE=500ms LEAD_IN=1ms RAW=1.",
        module="lead_in",
        own=_table(RUN, RESULTS),
        harness=True,
        has_json=True,
    ),
    Command(
        name="noise",
        help="Tell what 4, 6, 8 and 12 sets can tell, from the sets of an A/A run; a minute.",
        module="noise",
        own=_table(replace(RUN, default="aa-sets"), RESULTS),
        harness=True,
        has_json=True,
    ),
    Command(
        name="soak",
        help="Send many orders through each method: does a service's memory grow?",
        module="soak",
        own=_table(
            _own("ORDERS", "count", "orders through each method", 100_000, least=1000, most=1_000_000_000), STATE
        ),
        takes_profile=True,
        harness=True,
        has_json=True,
        servers=True,
    ),
)

RENAMED_COMMANDS: Mapping[str, str] = {
    "run": "bench",
    "floor": "harness baseline",
    "witness": "harness crosscheck",
    "cold": "harness connections",
}
"""Subcommands and make targets that have another name now."""


def find_command(words: tuple[str, ...]) -> Command | None:
    """The command of these words, as ("bench",) or ("harness", "selftest"); None when there is none."""
    for command in COMMANDS:
        if words == (("harness", command.name) if command.harness else (command.name,)):
            return command
    return None
