"""A service process loads the libraries of its own method and no others: they would count as its start and memory."""

import subprocess
import sys

import pytest

VENDORS = {
    "rest": {"aiohttp", "fastapi", "starlette", "uvicorn"},
    "grpc": {"grpc", "google"},
    "broker": {"aio_pika", "aiormq"},
    "events": {"aiokafka"},
}
NEVER = {"pandas", "numpy", "matplotlib", "locust", "gevent", "rich", "httpx"}
"""What measures and reports, and REST's other client."""


@pytest.mark.slow
@pytest.mark.parametrize("method", VENDORS)
def test_a_service_process_loads_the_libraries_of_its_own_method_alone(method: str) -> None:
    program = (
        "import sys, bench.provision.service_main; from transports.registry import load_transport; "
        f"load_transport({method!r}); print(*{{name.partition('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    others = set().union(*(VENDORS[other] for other in VENDORS if other != method)) - VENDORS[method]
    assert VENDORS[method] <= loaded
    assert not loaded & (NEVER | others)
