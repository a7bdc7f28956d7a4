"""Compares variants of a method that are alive at the same time, by short slices of load in turns."""
