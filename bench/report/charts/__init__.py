"""Draws charts from a run's kept tables, each with its values as CSV."""
