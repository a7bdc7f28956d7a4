"""Lists the figures of a comparison of two revisions for other programs: HEAD's, with the interval of its change."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.errors import ResultsError
from bench.regress.verdict import Verdict
from bench.results.exports import ExportedFigure


def read_verdict(folder: Path) -> Verdict | None:
    """Returns the verdict in this folder; None where it is none of a comparison. Raises ResultsError."""
    path = folder / "regression.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verdict)
    except msgspec.DecodeError as error:
        raise ResultsError(
            f"{path} is damaged: {error}; type `fourways regress judge {folder.name}`", code="damaged-results"
        ) from error


def list_regress_figures(verdict: Verdict) -> Iterator[ExportedFigure]:
    """Yields HEAD's number of each metric that was counted or timed."""
    for one in verdict.findings:
        if one.head is None or one.base is None:
            continue
        has_ends = one.low is not None and one.high is not None
        yield ExportedFigure(
            cell=one.cell,
            column=one.metric.replace(" ", "_"),
            value=one.head,
            low=one.base * (1 + (one.low or 0.0)) if has_ends else None,
            high=one.base * (1 + (one.high or 0.0)) if has_ends else None,
        )
