"""Frames on TCP: a chain without any protocol above the stream, to be read as an example of a transport."""

from fourways_frames.transport import FramesTransport

__all__ = ["FramesTransport"]
