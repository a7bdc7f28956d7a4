"""Tests how a path is written for Java, which reads .properties files as Latin-1."""

import pytest

from bench.provision.kafka import escape_properties


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("log.dirs=/of mine/data\n", "log.dirs=/of mine/data\n"),
        ('password="a\\b"\n', 'password="a\\b"\n'),
        ("log.dirs=/a Ü 語\n", "log.dirs=/a \\u00dc \\u8a9e\n"),
        ("log.dirs=/🙂\n", "log.dirs=/\\ud83d\\ude42\n"),
    ],
)
def test_letters_beyond_ascii_are_escaped_and_nothing_else(line: str, written: str) -> None:
    assert escape_properties(line) == written
