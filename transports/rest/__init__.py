"""The REST transport: a FastAPI application per service on uvicorn, a pooled HTTP client."""

from transports.rest.transport import RestTransport

__all__ = ["RestTransport"]
