"""`fourways harness noise`: what a run of so many sets can tell."""

from rich.console import Console

from bench.calibration.noise import measure_noise, noise_table, write_noise
from bench.cli.arguments import Asked
from bench.cli.output import print_json
from bench.results.lookup import find_run_folder
from bench.results.store import RunFolder


def run(asked: Asked) -> None:
    """Print the table and write noise.csv beside the run. Raises UsageError, ResultsError."""
    kept = RunFolder.open(find_run_folder(str(asked.value("RUN")), asked.path("RESULTS")))
    found = measure_noise(kept)
    path = write_noise(kept.path, found)
    if asked.json:
        print_json(found)
    else:
        Console().print(noise_table(found))
        Console().print(f"{path} has it as a table.", highlight=False)
