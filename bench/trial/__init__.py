"""One trial: readiness, load, faults, audit, validity and its row."""
