"""Finds the servers that a run needs, or starts them and stops them again."""
