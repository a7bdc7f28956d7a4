"""Tests which replay files are accepted and how others are refused."""

from pathlib import Path

import pytest

from bench.load.workload.replay import ArrivalTrace


def read(path: Path, content: str | bytes, most: int = 100) -> list[int]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(ArrivalTrace.of(path).offsets_ns(most))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.txt"


def test_a_text_file_has_an_offset_a_line(path: Path) -> None:
    assert read(path, "# from the shop\n0\n\n0.25  # two at once\n.25\n1e1\n") == [
        0,
        250_000_000,
        250_000_000,
        10_000_000_000,
    ]


def test_a_csv_is_read_by_its_column(path: Path) -> None:
    assert read(path, "\ufeffid,offset_s,what\r\n7,0.5,x\r\n8, 1.5 ,y\r\n") == [500_000_000, 1_500_000_000]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("0\n# ordered\n2\n1.5\n", r"orders.txt, line 4: 1.5 comes before the line above it; sort"),
        ("-0.1\n", r"orders.txt, line 1: -0.1 is no offset; count seconds"),
        ("1700000000\n", r"line 1: 1700000000 is no offset; count seconds"),
        ("0\nsoon\n", r"line 2: 'soon' is no number of seconds"),
        ("0\nnan\n", r"line 2: 'nan' is no number"),
        ("inf\n", r"line 1: 'inf' is no number"),
        ("id,offset_s\n1\n", r"line 2: '' is no number"),
        ("", r"orders.txt holds no order; give"),
        ("offset_s\n# none\n", r"orders.txt holds no order; give"),
        (b"\xff\xfe1", r"orders.txt is not text"),
    ],
)
def test_a_wrong_trace_is_refused_with_its_line(path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(path, content)


def test_a_trace_too_large_for_memory_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="line 3: more than 2 orders; make it shorter"):
        read(path, "0\n1\n2\n", most=2)


def test_a_trace_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"orders.txt cannot be read: No such file"):
        ArrivalTrace.of(path)


def test_another_file_than_the_run_began_with_is_refused(path: Path) -> None:
    path.write_text("0\n")
    trace = ArrivalTrace.of(path)
    path.write_text("1\n")
    with pytest.raises(ValueError, match="is not the file that the run began with"):
        trace.offsets_ns(100)
