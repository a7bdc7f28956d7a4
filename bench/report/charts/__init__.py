"""The charts: each draws from a run's kept tables and says its values as CSV."""
