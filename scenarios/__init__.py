"""Locustfiles to edit, and in profiles/ the named workloads and tunings of a run."""
