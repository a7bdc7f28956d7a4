"""`fourways export`: a run's figures in the format of another program, on standard output."""

import sys

from bench.cli.arguments import Asked
from bench.errors import ResultsError, UsageError
from bench.results.lookup import find_run_folder


def run(asked: Asked) -> None:
    """Print the figures of a run, or of a comparison in results/regress. Raises UsageError, ResultsError."""
    folder = find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))
    from bench.regress.exports import list_regress_figures, read_verdict  # noqa: PLC0415 - a typo has been told by now
    from bench.regress.outputs import render_junit  # noqa: PLC0415
    from bench.results.exports import FORMATS, list_figures  # noqa: PLC0415
    from bench.results.store import RunFolder  # noqa: PLC0415
    from bench.results.thresholds import judge_thresholds, parse_thresholds  # noqa: PLC0415

    limits = parse_thresholds(str(asked.value("THRESHOLDS") or ""))
    kind = str(asked.value("AS"))
    if limits and kind != "junit":
        raise UsageError(f"THRESHOLDS is for AS=junit, and not for AS={kind}; leave it out", code="thresholds-unused")
    if (verdict := read_verdict(folder)) is not None:
        if limits:
            raise UsageError(
                "THRESHOLDS is for a run; those of a comparison stand in regress.toml", code="thresholds-unused"
            )
        figures = list(list_regress_figures(verdict))
        sys.stdout.write(render_junit(verdict) if kind == "junit" else FORMATS[kind](figures, verdict.id, [], []))
        return
    kept = RunFolder.open(folder)
    summary = kept.summary()
    if not summary["cells"]:
        raise ResultsError(f"{folder} has no trial to export; measure again", code="empty-run")
    judged = judge_thresholds(limits, summary)
    sys.stdout.write(FORMATS[kind](list(list_figures(summary)), str(kept.manifest["run_id"]), summary["cells"], judged))
