"""`fourways harness selftest`: does the harness report what is known beforehand?"""

from rich.console import Console

from bench.calibration.selftest.cases import SINGLE_TRIAL_CASES
from bench.calibration.selftest.plays import MULTI_TRIAL_CASES
from bench.calibration.selftest.run import run_cases
from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.errors import OperationFailed, UsageError


def run(asked: Asked) -> None:
    """Run every case, or those that ONLY= names. Raises OperationFailed when one came out otherwise."""
    only = asked.words.get("ONLY", "")
    single = [case for case in SINGLE_TRIAL_CASES if only in case.name]
    multi = [case for case in MULTI_TRIAL_CASES if only in case.name]
    if not single and not multi:
        names = "; ".join(case.name for case in (*SINGLE_TRIAL_CASES, *MULTI_TRIAL_CASES))
        raise UsageError(f"no case has {only!r} in its name; there are: {names}", code="unknown-case")
    found = run_to_end(lambda: run_cases(single, multi, Console(stderr=asked.json)))
    if asked.json:
        print_json(found)
    if not all(one.right for checked in found.values() for one in checked):
        raise OperationFailed("something did not come out as expected; see above", code="selftest-failed")
    Console(stderr=asked.json).print("everything came out as expected")
