"""Tests the scheduling priority of the load process and its entry in the results."""

import os
from collections.abc import Iterator

import pytest

from bench.load.scheduling import describe_priority, raise_priority, restore_priority


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    restore_priority()


def test_where_it_is_permitted_the_load_process_is_scheduled_by_turns_before_others() -> None:
    raise_priority()
    permitted = os.geteuid() == 0
    assert not permitted or describe_priority() in ("SCHED_RR 1", "nice -10")


@pytest.mark.parametrize(
    ("realtime", "nice", "said"), [(True, True, "SCHED_RR 1"), (False, True, "nice -10"), (False, False, "nice 0")]
)
def test_what_is_not_permitted_is_done_without_and_said(
    monkeypatch: pytest.MonkeyPatch, realtime: bool, nice: bool, said: str
) -> None:
    has = {"policy": os.SCHED_OTHER, "nice": 0}

    def set_policy(pid: int, policy: int, param: os.sched_param) -> None:
        if policy == os.SCHED_RR and not realtime:
            raise PermissionError
        has["policy"] = policy

    def set_nice(which: int, who: int, value: int) -> None:
        if value < 0 and not nice:
            raise PermissionError
        has["nice"] = value

    monkeypatch.setattr(os, "sched_setscheduler", set_policy)
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: has["policy"])
    monkeypatch.setattr(os, "sched_getparam", lambda _: os.sched_param(1))
    monkeypatch.setattr(os, "setpriority", set_nice)
    monkeypatch.setattr(os, "getpriority", lambda *_: has["nice"])
    raise_priority()
    assert describe_priority() == said
    restore_priority()
    assert describe_priority() == "nice 0"


def test_a_system_without_such_policies_has_niceness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sched_setscheduler", "sched_getscheduler"):
        monkeypatch.delattr(os, name)
    raise_priority()
    assert describe_priority().startswith("nice ")
