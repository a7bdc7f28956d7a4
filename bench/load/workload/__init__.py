"""The workload: orders, arrivals, rate shapes and replayed arrival traces."""
