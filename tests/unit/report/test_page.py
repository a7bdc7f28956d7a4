"""Tests the report page: its text, its numbers, and hard cases."""

import html
import json
import math
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup

from bench.advise.report import write_report
from bench.cli.app import main
from bench.errors import ResultsError
from bench.paths import REFERENCE
from bench.report.page import write_page
from bench.report.run_view import RunView, read_run_view
from bench.report.wording import mark_best_cells
from bench.results.histograms import Percentiles
from bench.results.migrate import RENAMED_COLUMNS
from bench.results.store import RunFolder
from tests.unit.builders import CELLS, build_run, build_trial
from tests.unit.report.edge_cases import EDGE_CASES, build_one_round

ENDS = ("estimate", "low", "high")
KEPT = (
    *(
        "default",
        "capacity",
        "size",
        "format",
        "frequency",
        "security",
        "durability",
        "products",
        "clients",
        "processes",
    ),
    *("outage", "aa"),
)


OLD_NAMES = {new: old for columns in RENAMED_COLUMNS.values() for old, new in columns.items()}
"""What a run of schema 5 has for a name of today, which the page gives for every run."""


class Numbers(HTMLParser):
    """Every number of a page that says where it is from: what is read, its value, and the place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "data":
            of = f"{self.inside} {given['data-of']}".strip()
            self.found.append(("", str(given["value"]), of))
        elif tag == "tr":
            self.inside = given.get("data-in") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.found and not self.found[-1][0]:
            self.found[-1] = (data, *self.found[-1][1:])


@cache
def table_at(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


@cache
def summary_at(path: Path) -> Any:
    return json.loads(path.read_text())


def kept(run: RunFolder, where: list[str]) -> Any:
    """The number that stands at a place of a run's files, found again without the report's code."""
    part, which, *names = where
    if part in ("capacity", "aa"):
        table = table_at(run.path / f"{part}.csv")
        keys = dict(zip(("cell",) if part == "capacity" else ("method", "metric"), (which, *names), strict=False))
        for column, value in keys.items():
            table = table[table[column] == value]
        return table[names[-1]].item()
    rows = summary_at(run.path / "summary.json")[part]
    row = rows[int(which)] if which.isdigit() else next(one for one in rows if one["cell"] == which)
    for inside in ("metrics", "orders", "times"):
        if names and (names[0] in row.get(inside, ()) or OLD_NAMES.get(names[0]) in row.get(inside, ())):
            row = row[inside]
            break
    for name in names:
        row = row[name] if name in row else row[OLD_NAMES[name]]
    return row


def assert_numbers_are_the_datas(page: str, runs: dict[str, RunFolder]) -> int:
    """How many there are."""
    count = 0
    for said, values, of in Numbers(page).found:
        name, *where = of.split(" ")
        whole = kept(runs[name], where)
        # An estimate is read as a whole: the number, and its interval.
        numbers = [float(whole[end]) for end in ENDS if whole[end] is not None] if isinstance(whole, dict) else [whole]
        numbers = [float(number) for number in numbers]
        assert list(map(float, values.split(" "))) == pytest.approx(numbers, rel=1e-4, nan_ok=True), of
        # Of a censored one something else is read than a number: "> 10 s".
        read = [float(one) for one in re.findall(r"\d+(?:\.\d+)?", re.sub(r"> [\d.]+ s|,", "", said))]
        known = [number for number in numbers if math.isfinite(number)]
        shown = ([number * scale for number in known] for scale in (1, 1e-3, 1 / 1024, 100))
        assert any(read == pytest.approx(one, rel=0.0051, abs=1e-9) for one in shown), (said, of)
        count += len(numbers)
    return count


def text_of(page: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", body)).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = build_run(tmp_path_factory.mktemp("results"), machine={"cores": 2, "cpu_model": "a made-up one"}, seed=1)
    run.write_summary()
    write_report([run.path], run.path)
    return run


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return (run.path / "report.html").read_text("utf-8")


def test_the_page_says_on_its_face_what_was_measured_with(page: str) -> None:
    assert "Measured with Python clients and services, on 2 cores (a made-up one)." in text_of(page)


def test_every_number_of_the_page_is_the_datas(run: RunFolder, page: str) -> None:
    assert assert_numbers_are_the_datas(page, {run.path.name: run}) > 100


@pytest.mark.reference
def test_every_number_of_the_report_that_is_kept_stands_in_the_files_of_its_runs() -> None:
    page = (REFERENCE / "report" / "report.html").read_text("utf-8")
    runs = {name: RunFolder.open(REFERENCE / name) for name in KEPT}
    assert assert_numbers_are_the_datas(page, runs) > 1000
    assert {of.split(" ")[0] for _, _, of in Numbers(page).found} == set(KEPT)
    assert len(page.encode()) < 1_500_000


def test_the_answer_names_the_format_and_gives_an_interval(page: str) -> None:
    said = text_of(page)
    assert re.search(
        r"gRPC \(protobuf\) takes 1\.\d+ \(1?0?\.\d+ to 1\.\d+\) times as long in the median as REST", said
    )


def test_a_run_at_one_rate_says_which_command_draws_the_curve(page: str) -> None:
    assert "make study PROFILE=capacity" in text_of(page)
    assert 'id="ratios"' in page


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    write_report([run.path], tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) > 15
    for path in made:
        assert (tmp_path / path).read_bytes() == (run.path / path).read_bytes(), path


def test_each_chart_has_a_picture_and_what_it_draws_beside_it(run: RunFolder, page: str) -> None:
    charts = {path.stem for path in (run.path / "charts").glob("*.svg")}
    assert {"ratios", "latency", "spectrum", "costs", "trials"} <= charts
    for name in charts:
        assert f'href="charts/{name}.csv"' in page
        assert (run.path / "charts" / f"{name}.csv").read_text().count("\n") > 1
        assert f"](charts/{name}.png)" in (run.path / "report.md").read_text("utf-8")


def test_no_two_things_on_the_page_share_an_id(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_nothing_on_the_page_comes_from_elsewhere(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|charts/|data:)[^"]*"|url\((?!#)[^)]*\)|@import', page)
    assert "default-src 'none'" in page
    assert len(page) < 1_500_000


def test_what_the_other_parts_hand_in_stands_on_the_page(run: RunFolder, tmp_path: Path) -> None:
    made = write_page(
        [read_run_view(run.path)], tmp_path, claims=Markup("<p>pros</p>"), chooser=Markup("<p>form</p>"), script="1"
    )
    page = made.read_text("utf-8")
    assert "<p>pros</p>" in page
    assert "<p>form</p>" in page
    assert "script-src 'sha256-" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGE_CASES)
def test_a_hard_case_is_told_in_words(tmp_path: Path, name: str) -> None:
    make, words = EDGE_CASES[name]
    run = make(tmp_path)
    run.write_summary()
    page = write_report([run.path], run.path).read_text("utf-8")
    said = text_of(page)
    for wanted in words:
        assert wanted in said
    assert not re.search(r"\bnan\b|\bNone\b|Undefined|Traceback", said)
    assert_numbers_are_the_datas(page, {run.path.name: run})
    assert len(page) < 1_500_000


@pytest.mark.slow
def test_two_runs_on_one_page_keep_their_charts_apart(run: RunFolder, tmp_path: Path) -> None:
    other = build_one_round(tmp_path / "other")
    renamed = other.path.rename(tmp_path / "second")
    RunFolder.open(renamed).write_summary()
    page = write_report([run.path, renamed], tmp_path / "out").read_text("utf-8")
    assert (tmp_path / "out" / "charts" / "second-latency.csv").is_file()
    assert (tmp_path / "out" / "charts" / "made-up-latency.csv").is_file()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert_numbers_are_the_datas(page, {"made-up": run, "second": RunFolder.open(renamed)})


def test_the_best_is_called_so_where_it_is_shown_and_a_tie_where_it_is_not(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {}})
    for number in range(1, 7):
        for slot, (cell, p50_us) in enumerate((("rest", 5000), ("grpc", 5100), ("events", 9000)), 1):
            found = Percentiles(p50_us=p50_us + (-1) ** number * 10)
            run.add_trial(build_trial(round=number, slot=slot, cell=cell, transport=cell, finish=found), {})
    page = write_report([run.path], run.path).read_text("utf-8")
    rows = {
        cell: re.search(rf'<th scope="row">{cell}<.*?</tr>', page, re.DOTALL)[0] for cell in ("REST", "gRPC", "Kafka")
    }  # type: ignore[index]
    first = {cell: re.search(r"<td>.*?</td>", row)[0] for cell, row in rows.items()}  # type: ignore[index]
    assert "<em>tie</em>" in first["REST"]
    assert "<em>tie</em>" in first["gRPC"]
    assert "tie" not in first["Kafka"]


def test_where_too_few_rounds_give_no_interval_nothing_ties(tmp_path: Path) -> None:
    trials = build_run(tmp_path, rounds=5).trials()
    assert mark_best_cells(trials, "finish_p50_us") == {}


def damaged(run: RunFolder, name: str, old: str, new: str) -> RunView:
    """The run as it is read after ``old`` in its file has become ``new``."""
    path = run.path / name
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1))
    return read_run_view(run.path)


def doubts_of(reading: RunView) -> str:
    return "; ".join(caveat.text for caveat in reading.doubts)


@pytest.fixture
def small(tmp_path: Path) -> RunFolder:
    return build_run(tmp_path, rounds=2)


def test_a_damaged_row_is_named_and_the_rest_is_shown(small: RunFolder) -> None:
    reading = damaged(small, "trials.csv", "\n2,1,rest,", "\n2,one,rest,")
    page = text_of(write_page([reading], small.path).read_text("utf-8"))
    assert "trials.csv, row 6, cannot be read: slot is 'one'; it is left out" in page
    assert "the median order over REST (json) finishes in" in page


def test_a_damaged_histogram_is_named_by_its_line(small: RunFolder) -> None:
    reading = damaged(small, "histograms.hlog", "HISTFA", "HIS!FA")
    assert sum(1 for _ in reading.run.histograms()) == 2 * 10 - 1
    assert doubts_of(reading) == "histograms.hlog, line 5, cannot be read: it holds no histogram; it is left out"


def test_of_many_damaged_rows_the_first_are_named(small: RunFolder) -> None:
    said = doubts_of(damaged(small, "trials.csv", "round,slot,cell", "round,cell"))
    assert "trials.csv, row 1, cannot be read" in said
    assert "and 5 more like it" in said


def test_a_run_that_is_not_over_says_how_far_it_is(small: RunFolder) -> None:
    cells = [{"name": name} for name in CELLS]
    small.update_manifest(cells=cells, profile={**small.manifest["profile"], "rounds": 7})
    (caveat,) = read_run_view(small.path).doubts
    assert caveat.text.startswith("10 of 35 trials are there")
    assert "make bench RESUME=made-up" in caveat.next_step


def test_a_run_without_a_trial_yet_says_so(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "made-up", {"profile": {}})
    assert "no trial is there" in text_of(write_report([run.path], run.path).read_text("utf-8"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"has no results \(no manifest\.json\)"),
        ("{", r"manifest\.json is damaged"),
        ('{"schema_version": 99}', "newer Fourways"),
    ],
)
def test_what_cannot_be_shown_at_all_is_one_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with pytest.raises(ResultsError, match=said):
        write_report([folder], folder)


@pytest.mark.parametrize(
    ("settings", "exit_code", "code"),
    [
        (["RUN=nothing"], 2, "unknown-run"),
        (["RUNS=made-up"], 2, "unknown-setting"),
        (["RUN=made-up,made-up"], 5, "two-runs-of-one-name"),
    ],
)
def test_what_a_person_got_wrong_is_one_sentence_and_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], exit_code: int, code: str
) -> None:
    RunFolder.create(tmp_path, "made-up", {"profile": {}})
    with pytest.raises(SystemExit) as ended:
        main(["report", *settings, f"RESULTS={tmp_path}"])
    (sentence,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == exit_code
    assert sentence.endswith(f"[{code}]")
