"""Collects the evidence of the kept runs, once in a test process: it takes four seconds."""

from functools import cache

from bench.advise.evidence import Evidence, collect_evidence
from bench.results.lookup import find_reference_runs


@cache
def collect_kept_evidence() -> Evidence:
    """Return the evidence in results/reference, for tests with the marker `reference`."""
    return collect_evidence(find_reference_runs())
