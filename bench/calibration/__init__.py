"""Checks the harness itself: known answers, its own cost, and other tools beside it."""
