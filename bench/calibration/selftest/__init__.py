"""Tests the harness end to end against results that are known beforehand.

`make selftest` runs it in real time, through Locust. A transport whose latencies follow from arithmetic takes the place
of a real one, found by its entry point like any other. Everything else is what measures real ones: plan, driver, load
process, Locust's master, report, judgement.
"""
