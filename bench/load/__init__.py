"""The load generator: Locust distributes the load, asyncio load processes send the orders.

    runner -> locust/control.py -> stock `locust --master`, with locust/master.py in it
                                    | spawn, stop (Locust's worker protocol)
              locust/worker.py -> session.py -> open_loop.py, closed_loop.py -> driver.py -> transports.base.Client
                                   sets/session.py -> sets/player.py -> open_loop.py
              workload/arrivals.py says when, pacer.py waits, accounting.py and recorder.py count

A process that imported locust is monkey-patched by gevent and grpc.aio hangs in it, so locust is imported by
locust/master.py and by scenarios/ alone. A Locust user is a unit of load: so many orders a second, or one looping
client.
"""
