"""What is kept of a run: rows, store, histograms, environment."""
