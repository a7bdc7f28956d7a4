"""What is measured: settings, the matrix of cells, validation."""
