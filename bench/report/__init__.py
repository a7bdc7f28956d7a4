"""Renders kept results for people: charts, terminal tables and the report page.

Everything is computed from the files of a run.
"""
