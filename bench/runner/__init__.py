"""Runs: brokers, rounds of trials, the capacity search, the soak test and the web page."""
