"""The in-process transport: the reference implementation and the harness's baseline."""

from transports.memory.transport import MemoryTransport

__all__ = ["MemoryTransport"]
