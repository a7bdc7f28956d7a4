"""Tests that one kind of trouble fills no log."""

import logging

import pytest

from transports.log_limit import LimitedLog


def test_the_first_is_logged_at_once_and_then_one_a_second_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = LimitedLog(logging.getLogger("test"), clock=lambda: now_s)
    for number in range(2_501):
        now_s = number / 1_000
        log.warning("full")
    log.flush()
    log.flush()
    assert caplog.messages == ["full", "full (1,000 times)", "full (1,000 times)", "full (500 times)"]


def test_what_comes_seldom_is_logged_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = LimitedLog(logging.getLogger("test"), clock=lambda: now_s)
    for text in ("locked", "full"):
        log.warning(text)
        now_s += 1.0
    log.flush()
    assert caplog.messages == ["locked", "full"]


def test_what_is_logged_late_says_how_old_it_is(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = LimitedLog(logging.getLogger("test"), clock=lambda: now_s)
    for _ in range(3):
        log.warning("full")
    now_s = 7.0
    log.flush()
    assert caplog.messages == ["full", "full (2 times, the last 7.0 s ago)"]
