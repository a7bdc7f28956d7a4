"""A run: brokers up, rounds of trials, the search for a capacity, soak and web."""
