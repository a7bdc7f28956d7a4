"""`make selftest`: does the harness report what is known beforehand? In real time, through Locust.

A transport whose latencies follow from arithmetic takes the place of a real one, found by its entry point like any
other. Everything else is what measures real ones: plan, driver, load process, Locust's master, report, judgement.
"""
