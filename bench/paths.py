"""Where the checkout is, and where its profiles, results and state lie."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PROFILES = ROOT / "scenarios" / "profiles"
SCENARIO = ROOT / "scenarios" / "order.py"
RESULTS = ROOT / "results"
REFERENCE = RESULTS / "reference"
STATE = ROOT / ".fourways"
"""Brokers' data, databases, jars, certificates; outside git."""
COMPOSE = ROOT / "compose.yaml"
