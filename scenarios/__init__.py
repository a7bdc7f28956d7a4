"""Locustfiles to edit; profiles/ has the named workloads of a run."""
