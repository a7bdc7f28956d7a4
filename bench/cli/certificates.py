"""`fourways certificates`: a folder of certificates, passwords and tokens."""

from pathlib import Path

from bench.cli.arguments import Asked
from bench.errors import UsageError
from bench.provision.certificates import make_keys


def run(asked: Asked) -> None:
    """Make the folder and print it as KEYS=. Raises UsageError, OSError."""
    if "FOLDER" not in asked.words:
        raise UsageError("FOLDER= is missing; give the folder to make", code="no-folder")
    print(f"KEYS={make_keys(Path(asked.words['FOLDER']).absolute())}")
