"""Advises which method fits a use, and lists the pros and cons of each method."""
