"""`fourways health`: how near a run's trials came to the limits of validity."""

from bench.cli.arguments import Asked
from bench.results.lookup import find_run_folder


def run(asked: Asked) -> None:
    """Print the spread of what validity is judged by; for an A/A run, what a change of speed does as well.

    Raises UsageError, ResultsError.
    """
    folder = find_run_folder(str(asked.value("RUN")), asked.path("RESULTS"))
    from bench.cli.output import print_json  # noqa: PLC0415 - a typo has been told by now
    from bench.results.measures import columns_used_in  # noqa: PLC0415
    from bench.results.store import RunFolder  # noqa: PLC0415
    from bench.stats.aa import summarise_aa_by_speed  # noqa: PLC0415
    from bench.trial.validity import format_spread, measure_spread  # noqa: PLC0415

    kept = RunFolder.open(folder)
    trials = kept.trials()
    if asked.json:
        print_json(measure_spread(trials))
        return
    print(format_spread(trials))
    if kept.manifest["profile"].get("arms") == 2 and "cpu_slowdown" in trials:
        found = summarise_aa_by_speed(trials, columns_used_in("summary"))
        shown = found[found["metric"].isin(columns_used_in("ratio"))]
        print(f"\n{shown.to_string(index=False, float_format='{:.3g}'.format)}")
