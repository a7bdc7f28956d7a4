"""Synchronous REST: a FastAPI application per service on uvicorn, and a pooled HTTP client."""

from transports.rest.transport import RestTransport

__all__ = ["RestTransport"]
