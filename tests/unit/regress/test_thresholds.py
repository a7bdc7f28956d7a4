"""regress.toml: what it says is obeyed, and what it cannot say is refused."""

import pytest

from bench.errors import Unmeasured
from bench.paths import ROOT
from bench.regress.judge import Threshold
from bench.regress.thresholds import FILE, parse_gates
from transports.registry import list_transports

OURS = parse_gates((ROOT / FILE).read_text("utf-8"), "this checkout")


def test_the_methods_of_our_file_exist() -> None:
    assert set(OURS.methods) <= set(list_transports())


def test_a_method_may_have_a_threshold_of_its_own() -> None:
    assert OURS.thresholds("rest")["instructions"] == Threshold(share=0.02, least=5000)
    assert OURS.thresholds("grpc")["instructions"] == Threshold(share=0.04, least=5000)


def test_what_is_not_counted_for_a_method_has_a_reason_and_no_threshold() -> None:
    assert OURS.not_counted("events").keys() == {"instructions"}
    assert all(OURS.not_counted(method)[name] for method in OURS.methods for name in OURS.not_counted(method))
    assert "instructions" not in OURS.thresholds("events")


@pytest.mark.parametrize(
    "text",
    [
        "methods = [",
        'methods = ["rest"]',
        'methods = ["rest"]\n[metrics.calls]\nshrae = 0.01',
        'methods = ["rest"]\n[metrics.calls]\nshare = "much"',
    ],
)
def test_a_file_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Unmeasured):
        parse_gates(text, "main")
