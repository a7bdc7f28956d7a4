"""Renders results as tables for the terminal."""
