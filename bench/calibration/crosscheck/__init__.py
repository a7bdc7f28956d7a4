"""Cross-checks our load generator against tools that others wrote, on the same servers.

tools.py      vegeta (REST), ghz (gRPC), RabbitMQ's PerfTest, Kafka's EndToEndLatency: run, and what they saw
echo.py       our own one hop through a broker, since those two tools do no more
compare.py    in turns, three rounds; a table of percentiles side by side
"""
