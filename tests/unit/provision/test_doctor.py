"""What doctor says of programs that one command alone has a use for."""

from pathlib import Path

import pytest

from bench.provision.doctor import check_counters


@pytest.mark.parametrize("present", [(), ("valgrind",), ("valgrind", "strace")])
def test_a_program_that_counts_is_found_or_named_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...]
) -> None:
    for name in present:
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {finding.what: finding for finding in check_counters()}
    assert {name for name, finding in found.items() if finding.state == "ok"} == set(present)
    absent = [finding for finding in found.values() if finding.state == "-"]
    assert all(f"apt-get install {finding.what}" in finding.detail for finding in absent)
