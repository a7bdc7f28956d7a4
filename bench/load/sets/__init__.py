"""Sets: services of several arms are up at once, and one load process plays slices of every cell in turns."""
