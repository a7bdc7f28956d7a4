"""Checks while tests run that each has the markers of what it needs: a pytest plugin."""

import sys
from collections.abc import Generator

import pytest

from bench.paths import REFERENCE

STARTS_PROCESS = "starts a process: mark it slow"
READS_REFERENCE = "reads results/reference: mark it reference"
USES_BROKERS = "uses the fixture `servers`: mark it broker"
ANY_SERVER = {"slow", "broker", "postgres", "browser", "nightly"}
"""Markers of tests that may start a process; a tier that starts nothing leaves all of them out."""

_seen: set[str] = set()
_PROCESS_EVENTS = {"subprocess.Popen", "os.system", "os.fork", "os.posix_spawn"}
_REFERENCE = f"{REFERENCE}/"


def _note(event: str, arguments: tuple[object, ...]) -> None:
    """Note what the interpreter is about to do; an audit hook, so that no import or wrapper gets around it."""
    if event == "open":
        if isinstance(arguments[0], str) and arguments[0].startswith(_REFERENCE):
            _seen.add(READS_REFERENCE)
    elif event in _PROCESS_EVENTS:
        _seen.add(STARTS_PROCESS)


def pytest_configure() -> None:
    sys.addaudithook(_note)


def _check(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test if this phase of it did something for which it has no marker."""
    _seen.clear()
    result = yield
    markers = {marker.name for marker in item.iter_markers()}
    if markers & ANY_SERVER:
        _seen.discard(STARTS_PROCESS)
    if "reference" in markers:
        _seen.discard(READS_REFERENCE)
    if _seen:
        pytest.fail(f"it {' and '.join(sorted(_seen))}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _check(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _check(item))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a collection in which a test uses the brokers without the marker, and put the long files first.

    `make test` gives each worker a whole file, so that one that takes minutes must not begin last.
    """
    items.sort(key=lambda item: "tests/system/" not in item.nodeid)
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        used = set(getattr(item, "fixturenames", ())) - set(given)
        if "servers" in used and item.get_closest_marker("broker") is None:
            raise pytest.UsageError(f"{item.nodeid} {USES_BROKERS}")
