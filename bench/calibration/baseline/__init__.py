"""Compares each transport with the barest four-hop chain on the same library.

    arms.py       "ours" and "bare", each as submit(number) and the pids to charge
    bare/         the barest chains, one a transport; node.py is a process of them
    load.py       closed and open loop, the same for both arms
    measure.py    one arm, one slot: start, warm up, closed loop, open loop, stop
    run.py        rounds in ABBA order;  goals.py  ratios and verdicts;  report.py  table and JSON

Apart from transports/ this is the only place where their libraries are used: it is what a transport is held against.
"""
