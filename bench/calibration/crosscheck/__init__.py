"""`make witness`: the same rate to the same running servers, by tools that others wrote, beside ours.

tools.py      vegeta (REST), ghz (gRPC), RabbitMQ's PerfTest, Kafka's EndToEndLatency: run, and what they saw
echo.py       our own one hop through a broker, since those two tools do no more
__main__.py   in turns, three rounds; a table of percentiles side by side
"""
