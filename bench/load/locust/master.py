"""Hooks in a stock Locust master: start trials, wait for their end, merge workers' reports.

A locustfile gets them by importing ``OrderUser``. The master makes no orders itself; its User classes are names for
the workers' load, and Locust's dispatcher shares them out.
"""

import json
import os
import signal
import sys
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
import msgspec
from flask import Response, request
from gevent.event import Event
from gevent.os import make_nonblocking, nb_read
from locust import User, events, stats, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_INIT, STATE_MISSING, STATE_STOPPED, STATE_STOPPING, MasterRunner
from locust.web import WebUI

from bench.load.locust import microseconds, set_page
from bench.load.locust.set_page import CellTable
from bench.load.merging import merge_reports
from bench.load.protocol import (
    DRAIN_MESSAGE,
    FINAL_MESSAGE,
    NEWS_MESSAGE,
    OPENED_MESSAGE,
    RANKS_OPTION,
    LoadMode,
    TrialReport,
    TrialSpec,
)
from bench.load.sets.protocol import SetReport, SetSpec, merge_set_reports, parse_report, parse_spec
from bench.load.workload.arrivals import ARRIVALS, Arrivals
from bench.load.workload.orders import Mix

HOW_TO_START = "a scenario needs services to order from, so start it with `make web TRANSPORT=rest`, not with locust"
WORKER_CHECK_S = 0.25
"""How often a lost worker is looked for; Locust itself takes four seconds to miss one."""
TRIAL_START_S = 3.0
REPORT_WAIT_S = 10.0
"""What a report takes at most once the drain is over."""
MAX_KEPT_TRIALS = 16
PAGE_ARRIVALS = tuple(name for name in ARRIVALS if name != "replay")
"""A replay has a rate and a length of its own; on the page both are chosen by who presses Start and Stop."""


class OrderUser(User):
    """A unit of load. A scenario derives one class from it and sets its attributes."""

    abstract = True
    orders_per_s: ClassVar[float] = 1.0
    """Of one user, in open mode."""
    payload_bytes: ClassVar[int] = 1024
    arrivals: ClassVar[Arrivals] = "poisson"
    sold_out: ClassVar[float] = 0.02
    declined: ClassVar[float] = 0.02
    mode: ClassVar[LoadMode] = "open"

    @task
    def order(self) -> None:
        """Appears as a task name on Locust's page; the workers send the orders."""
        raise NotImplementedError(HOW_TO_START)


def find_scenario_class() -> type[OrderUser]:
    """Returns the user class of the locustfile. Exits with a sentence unless there is exactly one."""
    classes = OrderUser.__subclasses__()
    if len(classes) != 1:
        _exit_with_usage(f"a scenario has one class derived from OrderUser, and here are {len(classes)}")
    return classes[0]


def _exit_with_usage(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(2)


def _add_arguments(parser: LocustArgumentParser, **_: Any) -> None:
    asked = {argument.split("=")[0] for argument in sys.argv[1:]}
    if not asked & {"-h", "--help", "-V", "--version", "-l", "--list"} and not asked >= {"--master", "--trial"}:
        _exit_with_usage(HOW_TO_START)
    chosen = find_scenario_class()
    parser.add_argument("--trial", default="", include_in_web_ui=False, help="what a start on the page runs, as JSON")
    parser.add_argument("--until-eof", action="store_true", include_in_web_ui=False, help="end with standard input")
    parser.add_argument("--payload-bytes", type=int, default=chosen.payload_bytes, help="size of an order's JSON")
    parser.add_argument("--arrivals", choices=PAGE_ARRIVALS, default=chosen.arrivals, help="how orders are spaced")


def _on_init(environment: Environment, runner: Any, web_ui: WebUI | None, **_: Any) -> None:
    if not isinstance(runner, MasterRunner) or web_ui is None:
        _exit_with_usage(HOW_TO_START)
    else:
        MasterHooks(environment, runner, web_ui)


_COMMAND_LINE: Any = events.init_command_line_parser
_COMMAND_LINE.add_listener(_add_arguments)
_INIT: Any = events.init
_INIT.add_listener(_on_init)


class TrialState:
    """State of one trial in the master, until all its workers have reported or one of them is lost."""

    def __init__(self, trial_id: str) -> None:
        self.id = trial_id
        self.drain_s = 0.0
        self.begun = Event()
        self.done = Event()
        self.opened = Event()
        self.opened_ns = 0
        self.ranks: dict[str, int] = {}
        self.reports: dict[str, TrialReport | SetReport] = {}
        self.news: list[str] = []
        """Of a set, as it came and was not fetched yet."""
        self.answer = ("", 503)

    def unreported_workers(self) -> list[str]:
        return [node for node in self.ranks if node not in self.reports]

    def finish(self, body: str, status: int) -> None:
        if not self.done.is_set():
            self.answer = (body, status)
            self.done.set()
            self.opened.set()


def _merge(reports: Sequence[TrialReport | SetReport]) -> str:
    """The reports of all workers as one, as JSON."""
    of_sets = [report for report in reports if isinstance(report, SetReport)]
    if of_sets:
        return merge_set_reports(of_sets).to_json()
    return merge_reports([report for report in reports if isinstance(report, TrialReport)]).to_json()


class MasterHooks:
    """Adds trials, routes and a table of microseconds to Locust's master."""

    def __init__(self, environment: Environment, runner: MasterRunner, web_ui: WebUI) -> None:
        assert environment.parsed_options is not None
        self._environment = environment
        self._runner = runner
        self._web_ui = web_ui
        self._options: Namespace = environment.parsed_options
        self._base: str = self._options.trial
        self._started = 0
        self._trials: OrderedDict[str, TrialState] = OrderedDict()
        self._current: TrialState | None = None
        self._stopping = False
        self._cells = CellTable()
        self._set: TrialState | None = None
        """The last set."""
        runner.register_message(FINAL_MESSAGE, self._on_final)
        runner.register_message(OPENED_MESSAGE, self._on_opened)
        runner.register_message(NEWS_MESSAGE, self._on_news)
        hooks: Any = environment.events
        hooks.test_start.add_listener(self._on_start)
        hooks.test_stopping.add_listener(self._on_stopping)
        hooks.test_stop.add_listener(self._on_stop)
        assert web_ui.app is not None
        app = self._app = web_ui.app
        app.add_url_rule("/fourways/ready", view_func=self._ready)
        app.add_url_rule("/fourways/gone/<name>", view_func=self._remove_worker, methods=["POST"])
        app.add_url_rule("/fourways/trials/<trial_id>", view_func=self._trial)
        app.add_url_rule("/fourways/trials/<trial_id>/opened", view_func=self._opened)
        app.add_url_rule("/fourways/trials/<trial_id>/news", view_func=self._take_news)
        app.before_request(self._refuse_edits)
        app.after_request(self._add_tables)
        self._extend_page()
        gevent.spawn(self._print_ports)
        if self._options.until_eof:
            gevent.spawn(self._end_at_eof)

    # A trial.

    def _on_start(self, **_: Any) -> None:
        """Before the workers are told: which trial, and which of its workers each of them is."""
        clients = self._runner.clients
        nodes = [client.id for client in clients.ready + clients.running + clients.spawning]
        nodes.sort(key=self._runner.get_worker_index)
        ranks = {node: rank for rank, node in enumerate(nodes)}
        setattr(self._options, RANKS_OPTION, ranks)
        self._started += 1
        try:
            spec = self._spec()
        except ValueError as error:
            # The workers get no trial, refuse it, and with that the run ends.
            self._options.trial = ""
            self._runner.log_exception("master", str(error), str(error))
            trial = TrialState("")
        else:
            self._options.trial = spec.to_json()
            trial = self._find_or_create_trial(spec.id)
            trial.drain_s = spec.drain_s
            if isinstance(spec, SetSpec):
                self._set = trial
                self._cells.begin(spec)
        trial.ranks = ranks
        self._current = trial
        trial.begun.set()
        gevent.spawn(self._watch, trial)

    def _spec(self) -> TrialSpec | SetSpec:
        """The trial or set that came with the start, or the one that the page's fields and the scenario describe."""
        options = self._options
        if options.trial != self._base:
            return parse_spec(options.trial)
        if not self._base:
            raise ValueError("this master takes trials from `make bench`; for the page use `make web TRANSPORT=rest`")
        base, chosen = TrialSpec.from_json(self._base), find_scenario_class()
        return msgspec.structs.replace(
            base,
            id=f"{base.id}-{self._started}",
            payload_bytes=options.payload_bytes,
            mix=Mix(sold_out=chosen.sold_out, declined=chosen.declined),
            arrivals=options.arrivals,
            mode=chosen.mode,
            orders_per_s_per_user=chosen.orders_per_s,
            duration_s=None,
        )

    def _find_or_create_trial(self, trial_id: str) -> TrialState:
        """The trial of this id: whoever comes first, the run or the request for its report, makes it."""
        trial = self._trials.get(trial_id)
        if trial is None:
            trial = self._trials[trial_id] = TrialState(trial_id)
            while len(self._trials) > MAX_KEPT_TRIALS:
                self._trials.popitem(last=False)
        return trial

    def _on_opened(self, msg: Message, **_: Any) -> None:
        """Of several workers the first says it for all."""
        trial = self._find_or_create_trial(msg.data["trial"])
        if not trial.opened.is_set():
            trial.opened_ns = msg.data["opened_ns"]
            trial.opened.set()

    def _on_news(self, msg: Message, **_: Any) -> None:
        self._find_or_create_trial(msg.data["trial"]).news.append(msg.data["news"])
        self._cells.add(msg.data["news"])

    def _on_final(self, msg: Message, **_: Any) -> None:
        trial = self._current
        if trial is None or msg.node_id not in trial.ranks:
            return
        report = parse_report(msg.data)
        if isinstance(report, TrialReport) and report.trial in (trial.id, ""):
            report.trial = trial.id
        elif not isinstance(report, SetReport) or report.id != trial.id:
            return
        trial.reports[msg.node_id] = report
        if not trial.unreported_workers():
            trial.finish(_merge(list(trial.reports.values())), 200)
            self._request_stop()

    def _watch(self, trial: TrialState) -> None:
        clients = self._runner.clients
        while not trial.done.wait(WORKER_CHECK_S):
            for node in trial.unreported_workers():
                client = clients.get(node)
                if client is None or client.state == STATE_MISSING:
                    trial.finish(f"load worker {trial.ranks[node]} was lost in the middle of trial {trial.id}", 503)
                    self._request_stop()
                    break

    def _request_stop(self) -> None:
        """As a person would; Locust's own stop button ends a start that is still going on as well."""
        if not self._stopping:
            gevent.spawn(self._app.test_client().post, f"{self._options.web_base_path}/stop")

    def _on_stopping(self, **_: Any) -> None:
        """The drain barrier: a run is over when every worker has said how it ended, and not before."""
        self._stopping = True
        trial = self._current
        if trial is None or trial.done.is_set():
            return
        self._runner.send_message(DRAIN_MESSAGE, {"trial": trial.id})
        wait_s = trial.drain_s + REPORT_WAIT_S
        if not trial.done.wait(wait_s):
            trial.finish(f"not every load worker reported within {wait_s:.0f} s of the end of trial {trial.id}", 503)

    def _on_stop(self, **_: Any) -> None:
        self._options.trial = self._base
        self._stopping = False

    # Routes.

    def _ready(self) -> Response:
        """Waits until nothing runs and exactly so many workers are ready; 503 when that takes too long."""
        wanted = int(request.args["workers"])
        name = request.args.get("name")
        clients = self._runner.clients
        with gevent.Timeout(float(request.args.get("within_s", 30)), False):
            while not self._idle() or (len(clients.ready) != wanted if name is None else name not in clients):
                gevent.sleep(0.005)
            return Response("{}", mimetype="application/json")
        return Response(f"{len(clients.ready)} of {wanted} load workers are ready", 503)

    def _idle(self) -> bool:
        """A missing worker leaves Locust's state at stopping, although nothing stands against another start."""
        return not self._stopping and self._runner.state in (STATE_INIT, STATE_STOPPING, STATE_STOPPED)

    def _remove_worker(self, name: str) -> Response:
        """Says goodbye for a worker that could not, which Locust would miss only after four seconds."""
        if name in self._runner.clients:
            goodbye: Any = Message
            self._runner.handle_message(name, goodbye("quit", None, name))
        return Response("{}", mimetype="application/json")

    def _trial(self, trial_id: str) -> Response:
        """Waits for the trial's report and gives it; 503 with a sentence when there will be none."""
        trial = self._find_or_create_trial(trial_id)
        if not trial.begun.wait(TRIAL_START_S):
            self._trials.pop(trial_id, None)
            return Response(f"trial {trial_id} was not started", 404)
        trial.done.wait()
        body, status = trial.answer
        return Response(body, status, mimetype="application/json" if status == 200 else "text/plain")

    def _opened(self, trial_id: str) -> Response:
        """Waits until the trial's window opens and says when it did; 503 when it ended before."""
        trial = self._find_or_create_trial(trial_id)
        trial.opened.wait()
        if not trial.opened_ns:
            return Response(f"trial {trial_id} ended before its window opened", 503)
        return Response(json.dumps({"opened_ns": trial.opened_ns}), mimetype="application/json")

    def _take_news(self, trial_id: str) -> Response:
        """Gives what has come of a set since the last time."""
        trial = self._find_or_create_trial(trial_id)
        news, trial.news = trial.news, []
        return Response(f"[{','.join(news)}]", mimetype="application/json")

    # The page.

    def _extend_page(self) -> None:
        if self._base:
            self._environment.host = TrialSpec.from_json(self._base).transport
        stats.PERCENTILES_TO_CHART = [0.5, 0.99]
        tabs: list[tuple[dict[str, str], Sequence[str]]] = [(microseconds.TAB, microseconds.COLUMNS)]
        if not self._base:  # a base is a whole trial
            tabs.append((set_page.TAB, set_page.COLUMNS))
        self._web_ui.template_args.update(
            extended_tabs=[tab for tab, _ in tabs],
            extended_tables=[
                {"key": tab["key"], "structure": [{"key": column, "title": column} for column in columns]}
                for tab, columns in tabs
            ],
        )

    def _refuse_edits(self) -> Response | None:
        """Users of a set that is played cannot be edited, and a start beside it is one."""
        if request.path != f"{self._options.web_base_path}/swarm" or self._set is None or self._set.done.is_set():
            return None
        refusal = {"success": False, "message": set_page.REFUSAL, "host": self._environment.host}
        return Response(json.dumps(refusal), mimetype="application/json")

    def _add_tables(self, response: Response) -> Response:
        """Locust's page shows whole milliseconds; its master was sent microseconds, so here they are, and cells."""
        if request.path == f"{self._options.web_base_path}/stats/requests" and response.is_json:
            tables = [{"key": microseconds.KEY, "data": microseconds.build_rows(self._environment.stats.entries)}]
            if self._set is not None:
                tables.append({"key": set_page.KEY, "data": self._cells.build_rows()})
            response.set_data(json.dumps({**response.get_json(), "extended_stats": tables}))
        return response

    # The process.

    def _print_ports(self) -> None:
        """One line on standard output, once both doors are open."""
        while (server := getattr(self._web_ui, "server", None)) is None or not server.started:
            gevent.sleep(0.01)
        print(json.dumps({"web_port": server.server_port, "master_port": self._runner.server.port}), flush=True)

    def _end_at_eof(self) -> None:
        make_nonblocking(0)
        while nb_read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
