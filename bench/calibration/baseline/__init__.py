"""Compares each transport with the barest four-hop chain on the same library.

    arms.py       "ours" and "bare", each as submit(number) and the pids to charge
    node.py       a process of a bare chain (bench/yardstick has the chains)
    load.py       closed and open loop, the same for both arms
    measure.py    one arm, one slot: start, warm up, closed loop, open loop, stop
    run.py        rounds in ABBA order;  goals.py  ratios and verdicts;  report.py  table and JSON

The bare chains are what a transport is held against.
"""
