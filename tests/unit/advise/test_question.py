"""Tests which questions `make advise` accepts and how it refuses others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.advise.question import FIELD_BY_WORD, Question, parse_question
from bench.errors import UsageError


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
    assert words.keys() == FIELD_BY_WORD.keys()
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


def test_an_empty_word_is_one_not_given() -> None:
    assert parse_question({"SIZE": "", "NEEDS": " "}) == parse_question({})


@pytest.mark.parametrize(
    ("word", "text", "said"),
    [
        ("SISE", "1KiB", r"no word 'SISE'; did you mean 'SIZE'\?"),
        ("SIZE", "0", "SIZE must be a positive number of bytes"),
        ("SIZE", "large", "SIZE must be a positive number of bytes"),
        ("FORMAT", "jsn", r"no format 'jsn'; did you mean 'json'\?"),
        ("RATE", "0", "RATE must be a number"),
        ("RATE", "nan", "RATE must be a number"),
        ("RATE", "inf", "RATE must be a number"),
        ("BURST", "0.5", "BURST cannot be 0.5"),
        ("SECURITY", "mtsl", r"no security 'mtsl'; did you mean 'mtls'\?"),
        ("DURABILITY", "slow", "no durability 'slow'"),
        ("SHAPE", "doc", "no shape 'doc'"),
        ("NEEDS", "repaly", r"no need 'repaly'; did you mean 'replay'\?"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(word: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_question({word: text})


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(tuple(FIELD_BY_WORD)), st.text(max_size=12)))
def test_any_text_is_a_question_or_one_sentence(words: dict[str, str]) -> None:
    try:
        question = parse_question(words)
    except UsageError as error:
        assert "\n" not in str(error).replace(repr("\n"), "")
    else:
        assert question.rate_per_s > 0
        assert question.burst >= 1
