"""Tests which questions `make advise` accepts and how it refuses others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.advise.question import Question, parse_question
from bench.errors import UsageError
from bench.results.question_settings import QUESTION
from tests.conftest import refuses


def test_what_is_left_out_is_as_make_bench_measures_it() -> None:
    assert parse_question({}) == Question(
        size_bytes=1024, shape="document", rate_per_s=150, security="none", durability="fast", format=None, needs=()
    )


def test_every_word_is_heard() -> None:
    words = {
        "SIZE": "64KiB",
        "SHAPE": "structured",
        "FORMAT": "json",
        "RATE": "200",
        "BURST": "5",
        "SECURITY": "mtls",
        "DURABILITY": "safe",
        "NEEDS": "replay, ordered,replay",
    }
    assert words.keys() == QUESTION.keys()
    assert parse_question(words) == Question(
        size_bytes=65536,
        shape="structured",
        format="json",
        rate_per_s=200,
        burst=5,
        security="mtls",
        durability="safe",
        needs=("replay", "ordered"),
    )


@pytest.mark.parametrize("word", QUESTION)
def test_an_empty_word_is_refused_by_name(word: str) -> None:
    with refuses("empty-setting", word):
        parse_question({word: " "})


def test_words_are_taken_as_people_type_them() -> None:
    question = parse_question({"SIZE": "1kB", "RATE": "600/min", "FORMAT": "ProtoBuf", "SECURITY": "ssl"})
    assert (question.size_bytes, question.rate_per_s) == (1000, 10)
    assert (question.format, question.security) == ("protobuf", "tls")


@pytest.mark.parametrize(
    ("word", "text", "code", "name"),
    [
        ("SISE", "1KiB", "unknown-setting", "'SIZE'"),
        ("SLO", "100", "unknown-setting", "'SLO'"),
        ("SIZE", "0", "bad-size", "SIZE (size_bytes)"),
        ("SIZE", "large", "bad-size", "'large'"),
        ("FORMAT", "jsn", "unknown-format", "'json'"),
        ("RATE", "0", "bad-number", "RATE (rate_per_s)"),
        ("RATE", "nan", "bad-number", "'nan'"),
        ("RATE", "inf", "bad-number", "'inf'"),
        ("RATE", "50,100", "bad-number", "'50,100'"),
        ("BURST", "0.5", "bad-number", "BURST (burst)"),
        ("SECURITY", "mtsl", "unknown-security", "'mtls'"),
        ("DURABILITY", "slow", "unknown-durability", "safe"),
        ("SHAPE", "doc", "unknown-shape", "document"),
        ("NEEDS", "repaly", "unknown-need", "'replay'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(word: str, text: str, code: str, name: str) -> None:
    with refuses(code, name):
        parse_question({word: text})


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(tuple(QUESTION)), st.text(max_size=12)))
def test_any_text_is_a_question_or_one_sentence(words: dict[str, str]) -> None:
    try:
        question = parse_question(words)
    except UsageError as error:
        assert error.code
        assert len(str(error).splitlines()) == 1
    else:
        assert question.rate_per_s > 0
        assert question.burst >= 1
