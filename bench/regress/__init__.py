"""Compares two revisions: counts what seeded orders take in each, and says whether the newer one takes more."""
