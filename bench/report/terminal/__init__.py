"""The tables that the terminal shows."""
