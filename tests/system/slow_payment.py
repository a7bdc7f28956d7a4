"""A service process as any other, but that payment blocks its event loop for each order."""

import time

from bench.provision import service_main
from shop.messages import Message
from shop.service import Service

BLOCKED_S = 0.04

_open_service = service_main._open_service


def open_slow_service(spec: service_main.ServiceSpec) -> Service:
    """Return the service; payment's handler does not come back for BLOCKED_S."""
    service = _open_service(spec)
    if spec.service == "payment":
        handle = service.handle

        def handle_slowly(message: Message) -> Message:
            time.sleep(BLOCKED_S)
            return handle(message)

        service.handle = handle_slowly  # type: ignore[method-assign]
    return service


if __name__ == "__main__":
    service_main._open_service = open_slow_service
    service_main.main()
