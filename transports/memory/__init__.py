"""In process: the reference implementation, and the harness's own floor."""

from transports.memory.transport import MemoryTransport

__all__ = ["MemoryTransport"]
