"""Keeps the results of a run: rows, tables, histograms, environment."""
