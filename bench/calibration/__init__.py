"""The harness measured by itself: known answers, its own cost, other tools beside it."""
