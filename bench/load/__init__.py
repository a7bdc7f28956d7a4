"""The load: Locust drives, asyncio carries.

    conductor -> locust.py -> stock `locust --master`, with master.py in it
                                    | spawn, stop (Locust's worker protocol)
                              worker.py -> open.py, closed.py -> driver.py -> transports.base.Client
                                 arrivals.py says when, pacer.py waits, booking.py and record.py count

A process that imported locust is monkey-patched by gevent and grpc.aio hangs in it, so locust is imported by master.py
and by scenarios/ alone. A Locust user is a quantum of load: so many orders a second, or one looping client.
"""
